"""Reads the file of stand-ins: what the process runner runs in place of an image."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.errors import StandInError

_KEYS = {"interpreter": str, "python_path": list, "environment": dict, "train": list, "preload": str}


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A Python environment that stands in for one image."""

    interpreter: Path
    """Python to run; its packages are what the image would have installed."""
    python_path: tuple[Path, ...]
    """Folders of modules on top of the interpreter's own."""
    environment: Mapping[str, str]
    """What the image's ENV would set."""
    train: tuple[str, ...]
    """Arguments of the interpreter that the word `train` stands for."""
    preload: str = ""
    """MODULE:FUNCTION that imports what programs need into a process that jobs are forked from; empty for none."""


def read_stand_ins(path: Path) -> dict[str, StandIn]:
    """Read stand-ins by image name.

    Raises:
        StandInError: the file is missing or not of the form in the documentation.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StandInError(f"Cannot read stand-ins from {path}: {error}; give a JSON file.") from None
    if not isinstance(document, dict):
        raise StandInError(f"{path} holds a {type(document).__name__}; it must be an object of stand-ins by image.")
    return {image: _stand_in(f"{path}: stand-in for {image!r}", entry) for image, entry in document.items()}


class StandInFile(Mapping[str, StandIn]):
    """The stand-ins of a file as it is now: an endpoint outlives what is made ready beside it."""

    def __init__(self, path: Path) -> None:
        """Read it once, so that a wrong one is told at once.

        Raises:
            StandInError: as `read_stand_ins`; every later look may, too.
        """
        self._path = path
        read_stand_ins(path)

    def __getitem__(self, image: str) -> StandIn:
        return read_stand_ins(self._path)[image]

    def __iter__(self) -> Iterator[str]:
        return iter(read_stand_ins(self._path))

    def __len__(self) -> int:
        return len(read_stand_ins(self._path))


def find(stand_ins: Mapping[str, StandIn], image: str, *, why_no_docker: str = "") -> StandIn:
    """The stand-in for `image`; `why_no_docker` says why the image itself does not run, empty when nobody tried.

    Raises:
        StandInError: there is none, or its interpreter cannot be run.
    """
    if image not in stand_ins:
        known = ", ".join(sorted(stand_ins)) or "none"
        text = f"No stand-in for image {image!r} (known: {known}), so it cannot run as a process; "
        if why_no_docker:
            raise StandInError(
                f"{text}nor in Docker: {why_no_docker}; build or pull the image, or name a file with a stand-in in "
                "--stand-ins (`make local-train RUNTIME=process` writes one for an image of ours)."
            )
        raise StandInError(f"{text}name a file with one in --stand-ins, or use --runtime docker.")
    interpreter = stand_ins[image].interpreter
    if not interpreter.is_absolute() or not os.access(interpreter, os.X_OK):
        raise StandInError(
            f"The stand-in for image {image!r} has the interpreter {str(interpreter)!r}, which is not the absolute "
            "path of a program you may run; name another in --stand-ins."
        )
    return stand_ins[image]


def _stand_in(where: str, entry: Any) -> StandIn:
    if not isinstance(entry, dict) or set(entry) - set(_KEYS) or not {"interpreter", "train"} <= set(entry):
        seen = sorted(entry) if isinstance(entry, dict) else entry
        raise StandInError(
            f"{where} has {seen}; it needs interpreter and train; python_path, environment and preload are optional."
        )
    for key, kind in _KEYS.items():
        values = entry.get(key, kind())
        items = values.values() if isinstance(values, dict) else values  # of a text, its letters
        if not isinstance(values, kind) or not all(isinstance(item, str) for item in items):
            raise StandInError(f"{where}: {key} is {values!r}; it must be a {kind.__name__} of strings.")
    return StandIn(
        interpreter=Path(entry["interpreter"]),
        python_path=tuple(Path(folder).absolute() for folder in entry.get("python_path", ())),
        environment=dict(entry.get("environment", {})),
        train=tuple(entry["train"]),
        preload=entry.get("preload", ""),
    )
