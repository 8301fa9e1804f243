"""Where checkpoints are kept between runs: what a store of them is, and the one that is a folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from local_mode.channels.sources import local_path
from local_mode.errors import ArtifactError

_MARK = ".sagemaker-"
"""The platform's own files beside checkpoints, and names a program asks it to leave alone."""
_HALF = ".sagemaker-uploading"


class CheckpointStore(Protocol):
    """What lies at CheckpointConfig.S3Uri."""

    def bring(self, folder: Path) -> None:
        """Copy all of it to `folder`; an absent or empty place is a job that starts anew.

        Raises:
            LocalModeError: a file cannot be copied.
        """
        ...

    def put(self, file: Path, name: str) -> None:
        """Make `file`, which is given away, what lies under `name`: whole, or not at all.

        Raises:
            LocalModeError: it cannot be written.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove what lies under `name`; nothing where there is nothing.

        Raises:
            LocalModeError: it cannot be removed.
        """
        ...


class FolderStore:
    """A folder of this machine."""

    def __init__(self, uri: str) -> None:
        self._top = Path(local_path(uri))

    def bring(self, folder: Path) -> None:
        """Copy all of it, with the times of the files."""
        for name in sorted(_files(self._top)):
            old, new = self._top / name, folder / name
            try:
                new.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(old, new)
            except OSError as error:
                raise ArtifactError(f"Cannot copy checkpoint {old} to {new}: {error.strerror}.") from None

    def put(self, file: Path, name: str) -> None:
        """Move `file` there; within one file system that takes no room and no time."""
        target = self._top / name
        half = target.with_name(f".{target.name}{_HALF}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, half)
            with half.open("rb") as written:
                os.fsync(written.fileno())
            half.replace(target)
        except OSError as error:
            if half.is_file():
                half.unlink()
            raise ArtifactError(f"Cannot write {target}: {error.strerror}.") from None

    def remove(self, name: str) -> None:
        """Remove a file, and the folders that are empty without it: S3 has no empty folders."""
        target = self._top / name
        try:
            target.unlink(missing_ok=True)
            _remove_empty(target, self._top)
        except OSError as error:
            raise ArtifactError(f"Cannot remove {error.filename}: {error.strerror}; an old checkpoint stays.") from None


def is_synced(name: str) -> bool:
    """Whether a file of this name is a checkpoint: not the platform's own, nor one it is asked to leave alone."""
    return _MARK not in name


def keep(folder: Path, target: Path) -> None:
    """Move checkpoints that no place outside has to `target`; nothing is made when there are none."""
    if any(_files(folder)):
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)


def _files(folder: Path) -> Iterator[str]:
    """Paths below `folder` of the files that are synced."""
    for parent, _, names in os.walk(folder):
        yield from (os.path.relpath(os.path.join(parent, name), folder) for name in names if is_synced(name))  # noqa: PTH118


def _remove_empty(path: Path, top: Path) -> None:
    for parent in path.parents:
        if parent == top or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
