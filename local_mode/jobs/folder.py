"""The folder of a job on disk, its files' names, and the lock that says its owner lives."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_mode.errors import LocalModeError, ResourceInUseError
from local_mode.instance.cleaning import remove_tree

_ROOT_LOCK_SECONDS = 60
"""Sweeping is bounded by a few seconds per dead job; longer means something else holds the lock."""


@dataclass(frozen=True, kw_only=True)
class JobFolder:
    """Paths below one job's folder."""

    path: Path

    @property
    def request(self) -> Path:
        """The request as it was given."""
        return self.path / "request.json"

    @property
    def record(self) -> Path:
        """What DescribeTrainingJob would answer."""
        return self.path / "job.json"

    @property
    def log(self) -> Path:
        """stdout and stderr of the container."""
        return self.path / "logs" / "algo-1.log"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints that no CheckpointConfig claims."""
        return self.path / "checkpoints"

    @property
    def scratch(self) -> Path:
        """Everything that must be gone when the job ends."""
        return self.path / "scratch"

    @property
    def opt_ml(self) -> Path:
        """The container's /opt/ml on this side."""
        return self.scratch / "opt_ml"

    @property
    def lock(self) -> Path:
        """Held with flock by the owner; there as long as the job is not cleaned up."""
        return self.path / "lock"


def jobs_folder(root: Path) -> Path:
    """The folder that has a folder per job."""
    return root / "jobs"


def make_folder(root: Path, name: str) -> tuple[JobFolder, int]:
    """Make the folder of a new job and take its lock; the descriptor that holds the lock.

    Raises:
        ResourceInUseError: the name is taken.
    """
    folder = JobFolder(path=jobs_folder(root) / name)
    with root_lock(root):
        try:
            folder.path.mkdir()
        except FileExistsError:
            raise ResourceInUseError(
                f"Training job names must be unique, and {name!r} exists in {folder.path}; choose another name, or "
                "remove that folder."
            ) from None
        held = take_lock(folder)
    if held is None:
        raise ResourceInUseError(f"Another process holds {folder.lock}; end it, or choose another job name.")
    folder.scratch.mkdir()
    folder.log.parent.mkdir()
    return folder, held


def take_lock(folder: JobFolder) -> int | None:
    """A descriptor that holds the job's lock, or None while its owner lives."""
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def clear(folder: JobFolder) -> None:
    """Remove what must not stay of an ended job."""
    remove_tree(folder.scratch)
    for half in folder.path.glob(".*.part"):
        half.unlink()


def release(folder: JobFolder, held: int) -> None:
    """Give up the lock of a job that was cleared; a sweep looks no more at what has none."""
    folder.lock.unlink(missing_ok=True)
    os.close(held)


@contextlib.contextmanager
def root_lock(root: Path) -> Iterator[None]:
    """Keep others from making or sweeping job folders.

    Raises:
        LocalModeError: the folder cannot be written, or another process holds the lock for a minute.
    """
    try:
        jobs_folder(root).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LocalModeError(f"Cannot write to {root}: {error.strerror}; give another folder in --root.") from None
    deadline = time.monotonic() + _ROOT_LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LocalModeError(f"Another local_mode holds {root}/lock for a minute; end it.") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
