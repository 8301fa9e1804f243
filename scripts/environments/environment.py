"""A virtual environment that is there whole or not at all, and pip in it."""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".local_mode" / "envs"


class SetupError(Exception):
    """An environment cannot be made, for a reason that the person who typed the command can remove."""


@dataclass(frozen=True)
class Environment:
    """A folder made by `python -m venv`. It does not know what belongs in it: its caller does."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> str:
        """The key it was last made with; empty if it never was, or if the Python it was made from is another now."""
        if not (self.folder / ".ready").exists():
            return ""
        key, base = (self.folder / ".ready").read_text().splitlines()
        return key if self.python.resolve() == Path(base) and self.python.exists() else ""

    @contextmanager
    def making(self, key: str, afresh: bool = False) -> Iterator[None]:
        """Around what fills it: afterwards it carries the stamp, or, if that fails, it is gone again.

        Args:
            key: what `stamp` will be.
            afresh: throw away what is there. Otherwise that is filled further, and kept if filling it fails.

        Raises:
            SetupError: This Python cannot make environments, or the folder holds one that pip is missing from.
        """
        half_made = self.folder / ".making"
        if half_made.exists() or afresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        found = self.folder.exists()
        try:
            if found:
                self._check_found()
            else:
                self._create(half_made)
            (self.folder / ".ready").unlink(missing_ok=True)
            yield
            write_whole(self.folder / ".ready", f"{key}\n{self.python.resolve()}\n")
            half_made.unlink(missing_ok=True)
        except BaseException:
            if not found:
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def pip(self, *arguments: str) -> str:
        """Runs pip in it, shows what it downloads, and returns what it printed.

        Raises:
            SetupError: pip failed; with what it said.
        """
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as process,
        ):
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if line.lstrip().startswith("Downloading ") and ".metadata" not in line:
                    say("  " + line.strip())
            if process.wait() != 0:
                errors.seek(0)
                raise SetupError(explain(errors.read()))
        return "".join(lines)

    def _create(self, half_made: Path) -> None:
        if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
            raise SetupError(
                f"{sys.executable} cannot make virtual environments: its 'venv' or 'ensurepip' is missing; "
                "install it (Debian, Ubuntu: apt-get install python3-venv) or choose another Python: make PYTHON3=..."
            )
        self.folder.mkdir(parents=True)
        half_made.touch()
        command = [sys.executable, "-m", "venv", str(self.folder)]
        inside = os.environ | {"TMPDIR": str(self.folder)}  # what an interrupt leaves goes with the folder
        result = subprocess.run(command, check=False, capture_output=True, text=True, env=inside)
        if result.returncode != 0:
            raise SetupError(f"{sys.executable} -m venv failed: {(result.stderr or result.stdout).strip()}")

    def _check_found(self) -> None:
        has_pip = subprocess.run([self.python, "-c", "import pip"], check=False, capture_output=True).returncode == 0
        if not has_pip:
            raise SetupError(f"{self.folder} holds an environment without pip; remove it, and it is made anew")


def explain(errors: str) -> str:
    """What pip said, in a sentence; an index out of reach is called that."""
    remedy = "set PIP_INDEX_URL to an index in reach, or HTTPS_PROXY to a proxy"
    if broken := re.search(r"connection broken by '(.*)': (\S+)", errors):
        reason = re.sub(r"<[^>]* object at 0x\w+>:? ?", "", broken[1])
        return f"pip could not reach its package index, asking for {broken[2]}: {reason}; {remedy}"
    if unknown := re.search(r"satisfies the requirement (\S+).*\(from versions: none\)", errors):
        return f"pip found no release of {unknown[1]}, so its package index is out of reach or lacks it; {remedy}"
    said = [line.removeprefix("ERROR: ").strip() for line in errors.splitlines() if line.startswith("ERROR: ")]
    return "pip failed: " + ("; ".join(said) or errors.strip()[-500:] or "no message")


def key_of(*files: Path) -> str:
    """Names the content of lock files."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def say(text: str) -> None:
    """Tells the person who waits; stdout is for answers."""
    print(text, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """A path as the person in the project's folder would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is there whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Makes a second command that wants the same environment wait for the first."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f".{name}.busy").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that makes the environment '{name}'")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
