"""Checkpoints that are whole or not there: a file, and beside it its length, its checksum and how far the job was.

The platform copies the folder elsewhere while the job runs, and puts its marks (`*.sagemaker-uploading`, ...) into it.
One process writes a folder; several hosts share one destination, so only one of them should save.
"""

import errno
import hashlib
import io
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from trainjob.contract import NOT_SYNCED_SUFFIX, UPLOADING_SUFFIX
from trainjob.errors import CheckpointError
from trainjob.files import on_disk, sync_names

_log = logging.getLogger(__name__)
_NAME = re.compile(r"checkpoint-(\d{8,})(\.[A-Za-z0-9]+)")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose bytes are as they were written. Whether they fit the model is the program's to see."""

    path: Path
    step: int
    """Optimizer steps done."""
    progress: Mapping[str, int | float | str]
    """What `save` was given beside the step."""


def newest(folder: Path) -> Checkpoint | None:
    """The checkpoint of the highest step that is whole; None if there is none. Others are skipped with a warning."""
    _sweep(folder)
    for step, files in sorted(_by_step(folder).items(), reverse=True):
        try:
            return _load(folder, step)
        except (CheckpointError, OSError) as error:
            _log.warning("checkpoint of step %d skipped (%s): %s", step, ", ".join(sorted(files)), error)
    return None


def save(
    folder: Path,
    step: int,
    write: Callable[[BinaryIO], Any],
    *,
    keep: int = 2,
    suffix: str = ".ckpt",
    **progress: float | str,
) -> Path:
    """Write one checkpoint and remove all but the `keep` newest.

    Args:
        folder: Where it goes; made if absent.
        step: Optimizer steps done; names the file.
        write: Writes the content front to back into the file it is given; that file cannot seek.
        keep: Number of whole checkpoints to leave, 1 or more. One the platform is uploading is left in any case.
        suffix: Ending of the file's name, with its dot.
        progress: Numbers and words that `newest` gives back.

    Raises:
        CheckpointError: It could not be written; nothing of it is left, and older ones are as they were.
    """
    if keep < 1 or not _NAME.fullmatch(_name(step, suffix)) or suffix == ".json":
        raise ValueError(f"keep={keep} must be 1 or more, step={step} 0 or more, suffix='{suffix}' a word after a dot")
    path, sink = folder / _name(step, suffix), _Sink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _write(path, write, sink, progress)
    except Exception as error:
        # A framework may hide the disk's error behind one of its own.
        reason = sink.error or error
        if not isinstance(reason, OSError):
            raise
        raise CheckpointError(_explain(folder, step, reason)) from error
    _prune(folder, keep, saved=step)
    return path


class _Sink(io.RawIOBase):
    """Counts and hashes what goes into a file; keeps the file's own error. It cannot seek: a hash cannot go back."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def to(self, file: BinaryIO) -> None:
        self._file = file

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any, /) -> int:
        block = memoryview(data)
        block = block.cast("B") if block.nbytes else memoryview(b"")  # an empty view cannot be cast
        try:
            self._file.write(block)
        except OSError as error:
            self.error = error
            raise
        self._hash.update(block)
        self.size += len(block)
        return len(block)


def _write(path: Path, write: Callable[[BinaryIO], Any], sink: _Sink, progress: Mapping[str, object]) -> None:
    description = path.with_suffix(".json")
    partial = [file.with_name(file.name + NOT_SYNCED_SUFFIX) for file in (path, description)]
    try:
        with on_disk(partial[0]) as file:
            sink.to(file)
            write(cast(BinaryIO, sink))
        content = {"file": path.name, "bytes": sink.size, "sha256": sink.digest, "progress": progress}
        with on_disk(partial[1]) as file:
            file.write(json.dumps(content, indent=2).encode())
        # All that can run out of room is done. An earlier file of this step loses its description before its bytes.
        description.unlink(missing_ok=True)
        partial[0].replace(path)
        partial[1].replace(description)
        sync_names(path.parent)
    except BaseException:
        for file_left in partial:
            file_left.unlink(missing_ok=True)
        raise


def _load(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of that step, checked byte for byte; the CheckpointError of a bad one says what is wrong."""
    path, content = _described(folder, step)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != content["sha256"]:
        raise CheckpointError(f"{path.name} has other bytes than were written (sha256 {digest.hexdigest()})")
    return Checkpoint(path=path, step=step, progress=content["progress"])


def _described(folder: Path, step: int) -> tuple[Path, dict[str, Any]]:
    """The file of a step and its description, checked by name and length only, without reading the file."""
    description = folder / _name(step, ".json")
    try:
        content = json.loads(description.read_bytes())
        name, size = content["file"], content["bytes"]
        match = _NAME.fullmatch(name)
        complete = isinstance(content["sha256"], str) and isinstance(content["progress"], dict)
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{description.name} is missing or no description ({error!r})") from error
    if not complete or not match or int(match[1]) != step:
        raise CheckpointError(f"{description.name} describes no file of step {step}")
    actual = (folder / name).stat().st_size
    if actual != size:
        raise CheckpointError(f"{name} has {actual} bytes of {size}; it was cut short or changed")
    return folder / name, content


def _prune(folder: Path, keep: int, *, saved: int) -> None:
    """Remove all but the `keep` newest, the one just saved included; broken ones go first, whatever their step."""
    by_step = _by_step(folder)
    others = sorted((step for step in by_step if step != saved), key=lambda step: (_is_whole(folder, step), step))
    for step in others[: max(0, len(others) - (keep - 1))]:
        files = by_step[step]
        if any((folder / (name + UPLOADING_SUFFIX)).exists() for name in files):
            continue
        # The description first: what is half removed must not look whole.
        for name in sorted(files, key=lambda name: not name.endswith(".json")):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def _is_whole(folder: Path, step: int) -> bool:
    try:
        _described(folder, step)
    except (CheckpointError, OSError):
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what a predecessor that was killed while saving left half written."""
    for name in _names(folder):
        if name.endswith(NOT_SYNCED_SUFFIX) and _NAME.fullmatch(name.removesuffix(NOT_SYNCED_SUFFIX)):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def _by_step(folder: Path) -> dict[int, list[str]]:
    steps: dict[int, list[str]] = {}
    for name in _names(folder):
        if match := _NAME.fullmatch(name):  # the platform's marks have two dots and do not match
            steps.setdefault(int(match[1]), []).append(name)
    return steps


def _names(folder: Path) -> Iterable[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def _name(step: int, suffix: str) -> str:
    return f"checkpoint-{step:08d}{suffix}"


def _explain(folder: Path, step: int, error: OSError) -> str:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    remedy = "raise VolumeSizeInGB or keep fewer checkpoints" if error.errno in _NO_ROOM else "check the folder"
    return (
        f"The checkpoint of step {step} could not be written to {folder}: {error.strerror or error}; "
        f"{free} bytes are free there; {remedy}. Older checkpoints are untouched."
    )
