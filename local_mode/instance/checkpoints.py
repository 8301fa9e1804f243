"""Brings checkpoints from CheckpointConfig.S3Uri before a run, and back after it."""

import contextlib
import filecmp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from local_mode.errors import ArtifactError
from local_mode.instance.sources import local_path

_MARK = ".sagemaker-"
"""The platform's own files beside checkpoints, and names a program asks it to leave alone."""


def restore(uri: str, folder: Path) -> frozenset[str]:
    """Copy what lies at `uri` to `folder`; the names. An absent or empty place is a job that starts anew.

    Raises:
        ArtifactError: a file cannot be copied.
    """
    return _copy_new(Path(local_path(uri)), folder)


def save(folder: Path, uri: str, *, restored: frozenset[str]) -> None:
    """Bring to `uri` what is new in `folder`; what was restored and then removed goes there too, nothing else does.

    Raises:
        ArtifactError: a file cannot be written or removed.
    """
    target = Path(local_path(uri))
    _copy_new(folder, target)
    try:
        for name in restored - set(_files(folder)):
            (target / name).unlink(missing_ok=True)
            _remove_empty(target / name, target)
    except OSError as error:
        raise ArtifactError(f"Cannot remove {error.filename}: {error.strerror}; an old checkpoint stays.") from None


def keep(folder: Path, target: Path) -> None:
    """Move checkpoints that no CheckpointConfig claims to `target`; nothing is made when there are none."""
    if any(_files(folder)):
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder, target)


def _files(folder: Path) -> Iterator[str]:
    """Paths below `folder` of the files that are synced."""
    for parent, _, names in os.walk(folder):
        yield from (os.path.relpath(os.path.join(parent, name), folder) for name in names if _MARK not in name)  # noqa: PTH118


def _copy_new(source: Path, target: Path) -> frozenset[str]:
    names = frozenset(_files(source))
    for name in sorted(names):
        old, new = source / name, target / name
        if new.is_file() and filecmp.cmp(old, new, shallow=True):
            continue
        half = new.with_name(f".{new.name}.sagemaker-uploading")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(old, half)  # with its time, by which the next comparison knows it again
            half.replace(new)
        except OSError as error:
            with contextlib.suppress(OSError):  # there may be no folder to have it
                half.unlink()
            raise ArtifactError(f"Cannot copy checkpoint {old} to {new}: {error.strerror}.") from None
    return names


def _remove_empty(path: Path, top: Path) -> None:
    """Remove the folders above `path` that are empty now; S3 has no empty folders."""
    for parent in path.parents:
        if parent == top or any(parent.iterdir()):
            return
        parent.rmdir()
