"""Ends what a killed local_mode left: processes, containers, folders, and records that say InProgress for ever."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from local_mode.instance import checkpoints
from local_mode.instance.opt_ml import CHECKPOINTS
from local_mode.jobs.folder import JobFolder, clear, jobs_folder, release, root_lock, take_lock
from local_mode.jobs.record import FAILED, FINAL, Record

REASON = "InternalServerError: local_mode was killed before the job ended; run it again under another name."

Cleaner = Callable[[Path], None]
"""Removes what a runner may have left of the job with this folder."""


def sweep(root: Path, cleaners: Iterable[Cleaner]) -> list[str]:
    """Clean up after dead owners; the names of the jobs that were marked Failed."""
    if not jobs_folder(root).is_dir():
        return []
    cleaners = tuple(cleaners)
    with root_lock(root):
        folders = [JobFolder(path=path.resolve()) for path in sorted(jobs_folder(root).iterdir()) if path.is_dir()]
        return [folder.path.name for folder in folders if _sweep_one(folder, cleaners)]


def _sweep_one(folder: JobFolder, cleaners: tuple[Cleaner, ...]) -> bool:
    """Whether the job was found dead in the middle."""
    if not folder.lock.exists() and not folder.scratch.exists():
        return False  # ended and cleaned, or no job at all
    held = take_lock(folder)
    if held is None:
        return False
    for clean in cleaners:
        clean(folder.path)
    checkpoints.keep(folder.opt_ml / Path(CHECKPOINTS).name, folder.checkpoints)
    dead = _mark_failed(folder)
    clear(folder)
    release(folder, held)
    if not folder.record.exists():
        _remove_unborn(folder)
    return dead


def _mark_failed(folder: JobFolder) -> bool:
    try:
        record = Record.load(folder.record, time.time)
    except (OSError, json.JSONDecodeError):
        return False  # killed before there was a record
    if record.status in FINAL:
        return False
    record.enter("Failed", status=FAILED, FailureReason=REASON)
    return True


def _remove_unborn(folder: JobFolder) -> None:
    """Give the name of a job that never started back, if nothing of value is in its folder."""
    folder.request.unlink(missing_ok=True)
    for path in (folder.log.parent, folder.path):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
