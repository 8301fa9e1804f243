"""Takes the instance of a job away that another process runs: an order in a file, which that process takes up."""

import json
import os
import time
from pathlib import Path

from local_mode.errors import JobStateError, UnknownJobError
from local_mode.jobs.folder import JobFolder, jobs_folder

_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.05


def interrupt(root: Path, name: str, *, wait: float = 0.0, patience: float = _PATIENCE_SECONDS) -> None:
    """Interrupt a job of this root folder; it has an instance again after `wait` seconds. Returns when it has begun.

    Raises:
        LocalModeError: there is no such job, it is no managed spot training, or it does not train.
    """
    folder = JobFolder(path=jobs_folder(root) / name)
    try:
        request = json.loads(folder.request.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UnknownJobError(f"No training job is called {name!r} in {root}; see --root.") from None
    if not request.get("EnableManagedSpotTraining"):
        raise JobStateError(
            f"Training job {name!r} is no managed spot training, whose instances alone are taken away; "
            "set EnableManagedSpotTraining to true, and MaxWaitTimeInSeconds."
        )
    if not 0 <= wait < float("inf"):
        raise JobStateError(f"An instance cannot be there again after {wait:g} s; give --wait a number from 0 on.")
    if not folder.scratch.is_dir() or not _is_taken_up(folder.orders, wait, patience):
        raise JobStateError(f"Training job {name!r} does not train now; only a job in status Training is interrupted.")


def _is_taken_up(orders: Path, wait: float, patience: float) -> bool:
    half = orders.with_name(f".{orders.name}.{os.getpid()}.part")
    deadline = time.monotonic() + patience
    try:
        half.write_text(json.dumps({"wait": wait}), encoding="utf-8")
        half.replace(orders)
        while orders.exists():
            if time.monotonic() > deadline:
                orders.unlink()
                return False
            time.sleep(_LOOK_SECONDS)
    except FileNotFoundError:
        return False  # the job ended meanwhile, and its scratch with it
    return True
