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
    key_of,
    say,
    shown,
    write_whole,
)

_PROBE = """
import importlib, json, os, sys
assert sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} is too old: 3.11 is the least"
files = [importlib.import_module(name).__file__ for name in sys.argv[1:]]
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
    """An interpreter that imports the framework of images.json and numpy.

    Highest first: `python`; the active environment; with an NVIDIA GPU the image's lock; a CPU build of the
    framework; the image's lock, which is large.

    Raises:
        SetupError: There is none and none can be made.
    """
    entry = json.loads((ROOT / "images.json").read_text())[framework]
    module, folder = entry["framework"], ROOT / entry["folder"]
    candidates = [python] if python else list(_active())
    asked = {"named": bool(python), "candidates": candidates, "locks": key_of(*wheels.locks(folder))}
    note = ENVIRONMENTS / f"{framework}.json"
    remembered = _read(note, asked)
    if remembered is None:
        with alone(framework):
            remembered = _search(candidates, module, bool(python)) or _make(framework, module, folder)
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


def _search(candidates: list[str], module: str, must: bool) -> Finding | None:
    for candidate in candidates:
        try:
            finding = _probe(candidate, module)
        except SetupError as error:
            if must:
                remedy = f"give one that has {module} and numpy, or leave PYTHON out to have one made"
                raise SetupError(f"PYTHON={candidate} cannot run the job: {error}; {remedy}") from error
            continue
        say(f"{module}: found in {finding.interpreter}; nothing to download")
        return finding
    return None


def _probe(python: str, module: str) -> Finding:
    try:
        command = [python, "-c", _PROBE, module, "numpy"]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise SetupError(error.strerror or str(error)) from error
    if result.returncode != 0:
        raise SetupError(result.stderr.strip().splitlines()[-1] if result.stderr else f"exit code {result.returncode}")
    return Finding(**json.loads(result.stdout.splitlines()[-1]))


def _make(framework: str, module: str, folder: Path) -> Finding:
    environment, key = Environment(ENVIRONMENTS / framework), key_of(*wheels.locks(folder))
    try:
        if environment.stamp == key:
            return _probe(str(environment.python), module)
    except SetupError as error:
        say(f"{shown(environment.folder)} is broken ({error}); making it anew")
    try:
        with environment.making(key, afresh=True):
            wheels.install(environment, module, folder)
            return _probe(str(environment.python), module)
    except SetupError as error:
        remedy = f"or give PYTHON=an interpreter that has {module} and numpy"
        raise SetupError(f"cannot make {shown(environment.folder)}: {error}; {remedy}") from error
