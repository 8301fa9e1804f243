"""Makes a job's own Python: a throw-away virtual environment over the stand-in's, the job's writable layer.

A script's `pip install -r requirements.txt` sees what the stand-in has installed, adds to the overlay, and never
touches the user's environment.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_mode.errors import RunnerError, StandInError
from local_mode.runners.stand_in import StandIn

_PTH = "_stand_in.pth"
_TIMEOUT_SECONDS = 60
# Run by the stand-in's interpreter: makes the environment, tells what lies where. One start instead of two.
_MAKE = """
import json, site, sys, venv
venv.create(sys.argv[1], with_pip=False, symlinks=True)
sites = site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])
print(json.dumps({"sites": sites, "prefixes": [sys.prefix, sys.base_prefix]}))
"""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A virtual environment of one job."""

    folder: Path
    needs: tuple[Path, ...]
    """Folders outside it that must be readable for it to work."""
    parent_bin: Path
    """Where the stand-in's own commands lie."""

    @property
    def bin(self) -> Path:
        """Where its commands lie."""
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"


def make_overlay(stand_in: StandIn, folder: Path) -> Overlay:
    """Make the environment in `folder`.

    Raises:
        RunnerError: the interpreter cannot make one.
    """
    facts = _create(stand_in.interpreter, folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    # addsitedir honours the parent's own .pth files (editable installs), which a bare path would not.
    lines = [f"import site; site.addsitedir({site!r})" for site in facts["sites"]]
    lines += [str(path) for path in stand_in.python_path]
    (packages / _PTH).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    needs = {stand_in.interpreter.parent, *stand_in.python_path, *map(Path, facts["prefixes"] + facts["sites"])}
    return Overlay(
        folder=folder,
        needs=tuple(sorted(path for path in needs if path.is_dir())),
        parent_bin=stand_in.interpreter.parent,
    )


def _create(interpreter: Path, folder: Path) -> dict[str, list[str]]:
    try:
        done = subprocess.run(
            [interpreter, "-c", _MAKE, folder],
            capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        facts: dict[str, list[str]] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunnerError(f"{interpreter} cannot make a venv: {last}; install its venv module.") from None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise StandInError(f"Interpreter {interpreter} does not work: {error}; name another in --stand-ins.") from None
    return facts
