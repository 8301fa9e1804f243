"""The files that a job left, listed and opened; nothing outside its folder, wherever a link in it may lead."""

import re
from dataclasses import dataclass
from pathlib import Path

from local_mode.jobs.log_archive import is_ours

_TAIL_BYTES = 1 << 16
_TAIL_LINES = 300
_MOST = 200
"""Files that are listed; a program may leave a great many checkpoints."""
_KEPT = ("model.tar.gz", "output.tar.gz", "job.json", "request.json")
_FOLDERS = ("logs", "model", "output", "checkpoints")
"""model and output are there where a request asked for no compression, or an archive could not be written."""
# Escape sequences of terminals, then what else has no picture.
_UNSEEN = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Left:
    """One file."""

    name: str
    """Below the job's folder, with slashes."""
    size: int


def left(folder: Path) -> tuple[Left, ...]:
    """What a job left that can be downloaded."""
    paths = [folder / name for name in _KEPT]
    for name in _FOLDERS:
        paths += sorted(path for path in (folder / name).rglob("*") if not is_ours(path))[: _MOST - len(paths)]
    return tuple(
        Left(name=path.relative_to(folder).as_posix(), size=found.stat().st_size)
        for path in paths
        if (found := find(folder, path.relative_to(folder).as_posix())) is not None
    )


def find(folder: Path, name: str) -> Path | None:
    """The file of a job that `name` is; None where it is none, or not within what a job leaves."""
    parts = name.split("/")
    if (name not in _KEPT and parts[0] not in _FOLDERS) or {"", ".", ".."} & set(parts) or "\0" in name:
        return None
    try:
        path = (folder / name).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def tail(log: Path) -> list[str]:
    """The last lines of a log, as they can be shown."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(end - _TAIL_BYTES, 0))
            data = file.read()
    except OSError:
        return []
    lines = data.decode("utf-8", "replace").splitlines()
    if end > _TAIL_BYTES:
        lines = lines[1:]
    return [_UNSEEN.sub("", line.rsplit("\r", 1)[-1]) for line in lines[-_TAIL_LINES:]]
