"""The folder of a job on disk, its files' names, and the lock that says its owner lives."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_mode.channels.mounts import detach_below
from local_mode.errors import LocalModeError, ResourceInUseError
from local_mode.instance.cleaning import remove_tree

_LOCK_LOOK_SECONDS = 0.02
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
    def logs(self) -> Path:
        """The folder of all hosts' logs."""
        return self.path / "logs"

    def log(self, host: str) -> Path:
        """stdout and stderr of a host's container."""
        return self.logs / f"{host}.log"

    def checkpoints(self, host: str | None = None) -> Path:
        """Checkpoints that no CheckpointConfig claims; of one of several hosts where it is named."""
        return self.path / "checkpoints" / (host or "")

    @property
    def scratch(self) -> Path:
        """Everything that must be gone when the job ends."""
        return self.path / "scratch"

    def host(self, name: str) -> Path:
        """What belongs to one host and must be gone when the job ends."""
        return self.scratch / name

    def opt_ml(self, host: str) -> Path:
        """A host's /opt/ml on this side."""
        return self.host(host) / "opt_ml"

    @property
    def orders(self) -> Path:
        """There while a process asks for the job's interruption."""
        return self.scratch / "interrupt.json"

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
    try:
        folder.scratch.mkdir()
        folder.logs.mkdir()
    except BaseException:
        remove_tree(folder.path)
        os.close(held)
        raise
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
    detach_below(folder.scratch)
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
    try:
        if not wait_for_lock(descriptor, _ROOT_LOCK_SECONDS):
            raise LocalModeError(f"Another local_mode holds {root}/lock for a minute; end it.")
        yield
    finally:
        os.close(descriptor)


def wait_for_lock(descriptor: int, seconds: float) -> bool:
    """Take the lock of an open file or folder; whether it could be had within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOCK_LOOK_SECONDS)
        else:
            return True
