"""Ends what a killed local_mode left: processes, containers, folders, and records that say InProgress for ever."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from local_mode.instance import checkpoints
from local_mode.instance.opt_ml import CHECKPOINTS
from local_mode.jobs.folder import JobFolder, clear, jobs_folder, release, root_lock, take_lock
from local_mode.jobs.record import FAILED, FINAL, IN_PROGRESS, STOPPING, Record
from local_mode.jobs.store import Query, Store

REASON = "InternalServerError: local_mode was killed before the job ended; run it again under another name."

Cleaner = Callable[[Path], None]
"""Removes what a runner may have left of the job with this folder."""


def sweep(root: Path, cleaners: Iterable[Cleaner]) -> list[str]:
    """Clean up after dead owners; the names of the jobs that were marked Failed.

    Raises:
        LocalModeError: the folder or its database cannot be used.
    """
    store = Store(root)
    if not jobs_folder(root).is_dir() and not store.path.exists():
        return []
    cleaners = tuple(cleaners)
    with root_lock(root):
        store.check()
        folders = [JobFolder(path=path.resolve()) for path in sorted(jobs_folder(root).iterdir()) if path.is_dir()]
        going = {
            job["TrainingJobName"] for status in (IN_PROGRESS, STOPPING) for job in store.find(Query(status=status))
        }
        dead = [folder.path.name for folder in folders if _sweep_one(folder, store, cleaners, going)]
        _forget_removed(store, {folder.path.name for folder in folders})
    return dead


def _sweep_one(folder: JobFolder, store: Store, cleaners: tuple[Cleaner, ...], going: set[str]) -> bool:
    """Whether the job was found dead in the middle. `going` are the jobs that have not ended by their records."""
    # A disk that was full at a job's end leaves a record that still runs, and nothing else.
    if not folder.lock.exists() and not folder.scratch.exists() and folder.path.name not in going:
        if not any(folder.path.iterdir()):
            folder.path.rmdir()  # whoever made it was killed before its lock, or while its name was given back
        return False  # ended and cleaned, or no job at all
    held = take_lock(folder)
    if held is None:
        return False
    for clean in cleaners:
        clean(folder.path)
    _keep_checkpoints(folder)
    record = Record.load(store, folder.record, folder.path.name, time.time)
    dead = record is not None and record.status not in FINAL
    if record is not None:
        if dead:
            record.enter("Failed", status=FAILED, FailureReason=REASON)
        record.keep()  # its owner may have been killed between the two
    clear(folder)
    if record is None:
        _empty_unborn(folder)
    release(folder, held)
    if record is None and not any(folder.path.iterdir()):
        folder.path.rmdir()
    return dead


def _keep_checkpoints(folder: JobFolder) -> None:
    hosts = sorted(path.parent.name for path in folder.scratch.glob("*/opt_ml"))
    for host in hosts:
        place = folder.checkpoints(host if len(hosts) > 1 else None)
        for left in (folder.opt_ml(host) / Path(CHECKPOINTS).name, folder.host(host) / "checkpoints"):
            checkpoints.keep(left, place)


def _forget_removed(store: Store, names: set[str]) -> None:
    """Whoever removes a job's folder removes the job; a deletion that was killed half way is done with here, too."""
    for job in store.find(Query()):
        if job["TrainingJobName"] not in names:
            store.remove(job["TrainingJobName"])


def _empty_unborn(folder: JobFolder) -> None:
    """Remove what a job that never started has, so that its name is free, unless something of value is there."""
    folder.request.unlink(missing_ok=True)
    if folder.logs.is_dir() and not any(folder.logs.iterdir()):
        folder.logs.rmdir()
