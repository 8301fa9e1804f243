"""An interpreter that imports a framework: the person's own where there is one, else the lightest that can be had."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.environments import wheels
from scripts.environments.environment import (
    ENVIRONMENTS,
    ROOT,
    Environment,
    SetupError,
    alone,
    say,
    shown,
    write_whole,
)

_PROBE = """
import importlib, json, os, re, sys
def check(name, found, least):
    if [int(part) for part in re.findall("[0-9]+", found)] < [int(part) for part in least.split(".")]:
        sys.exit(f"{name} {found} is too old: {least} is the least")
check("Python", sys.version.split()[0], "3.11")
files = []
for name, least in json.loads(sys.argv[1]).items():
    module = importlib.import_module(name)
    check(name, module.__version__, least)
    files.append(module.__file__)
files.append(os.path.realpath(sys.executable))  # /usr/bin/python3.11, say: gone after a system upgrade
print(json.dumps({"interpreter": sys.executable, "files": files}))
"""


@dataclass(frozen=True)
class Finding:
    """An interpreter that has been seen to import the framework."""

    interpreter: str
    files: list[str]
    """What it imported. While these and the interpreter lie where they lay, it is not asked again: that takes 2 s."""

    @property
    def stands(self) -> bool:
        """Whether it still lies there."""
        return all(Path(file).exists() for file in (self.interpreter, *self.files))


def find(framework: str, python: str | None = None) -> Path:
    """An interpreter that has what the image's programs need, as images.json says under `needs`.

    Highest first: `python`; the active environment; with an NVIDIA GPU the image's lock; a CPU build of the
    framework; the image's lock, which is large.

    Raises:
        SetupError: There is none and none can be made.
    """
    entry = json.loads((ROOT / "images.json").read_text())[framework]
    module, folder = entry["framework"], ROOT / entry["folder"]
    candidates = [python] if python else list(_active())
    needs: dict[str, str] = entry["needs"]
    asked = {"named": bool(python), "candidates": candidates, "needs": needs, "locks": wheels.key(folder)}
    note = ENVIRONMENTS / f"{framework}.json"
    remembered = _read(note, asked)
    if remembered is None:
        with alone(framework):
            remembered = _search(candidates, module, needs, bool(python)) or _make(framework, module, needs, folder)
            write_whole(note, json.dumps(asked | asdict(remembered), indent=2))
    return Path(remembered.interpreter)


def _active() -> Iterator[str]:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if os.environ.get(variable):
            yield str(Path(os.environ[variable]) / "bin" / "python")
    yield shutil.which("python3") or "python3"


def _read(note: Path, asked: Mapping[str, object]) -> Finding | None:
    if not note.exists():
        return None
    noted = json.loads(note.read_text())
    finding = Finding(interpreter=noted.pop("interpreter"), files=noted.pop("files"))
    return finding if noted == asked and finding.stands else None


def _search(candidates: list[str], module: str, needs: Mapping[str, str], must: bool) -> Finding | None:
    for candidate in candidates:
        try:
            finding = _probe(candidate, needs)
        except SetupError as error:
            if must:
                remedy = f"give one that has {_listed(needs)}, or leave PYTHON out to have one made"
                raise SetupError(f"PYTHON={candidate} cannot run the job: {error}; {remedy}") from error
            # Who never had the framework knows; who has it would ask why another is downloaded.
            if f"No module named '{module}'" not in str(error):
                say(f"{module}: {candidate} will not do ({error}); wanted is one that has {_listed(needs)}")
            continue
        say(f"{module}: found in {finding.interpreter}; nothing to download")
        return finding
    return None


def _listed(needs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} >= {least}" for name, least in needs.items())


def _probe(python: str, needs: Mapping[str, str]) -> Finding:
    try:
        command = [python, "-c", _PROBE, json.dumps(needs)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise SetupError(error.strerror or str(error)) from error
    if result.returncode != 0:
        raise SetupError(result.stderr.strip().splitlines()[-1] if result.stderr else f"exit code {result.returncode}")
    return Finding(**json.loads(result.stdout.splitlines()[-1]))


def _make(framework: str, module: str, needs: Mapping[str, str], folder: Path) -> Finding:
    environment, key = Environment(ENVIRONMENTS / framework), wheels.key(folder)
    try:
        if environment.stamp == key:
            return _probe(str(environment.python), needs)
    except SetupError as error:
        say(f"{shown(environment.folder)} is broken ({error}); making it anew")
    try:
        with environment.making(key, afresh=True):
            wheels.install(environment, module, folder)
            return _probe(str(environment.python), needs)
    except SetupError as error:
        remedy = f"or give PYTHON=an interpreter that has {_listed(needs)}"
        raise SetupError(f"cannot make {shown(environment.folder)}: {error}; {remedy}") from error
