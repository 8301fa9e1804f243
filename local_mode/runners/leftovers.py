"""Finds what is left of a job: processes, by their environment, and its folder in /tmp."""

import contextlib
import os
import signal
import tempfile
import time
from hashlib import sha256
from pathlib import Path

_KILL_SECONDS = 5


def kill_processes(*entries: str) -> None:
    """Kill every process of this user whose environment has one of `entries` (NAME=value), exactly."""
    wanted = {os.fsencode(entry) for entry in entries}
    deadline = time.monotonic() + _KILL_SECONDS
    while (found := _carriers(wanted)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


def temporary_folder(job_folder: Path) -> Path:
    """A short path, the same whenever it is asked for, for jobs without a /tmp of their own.

    Short, because a socket's path may have 107 characters; derived, so that a sweep finds it with no record of it.
    """
    return Path(tempfile.gettempdir()) / f"local_mode-{os.getuid()}-{sha256(os.fsencode(job_folder)).hexdigest()[:12]}"


def _carriers(wanted: set[bytes]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # Processes end while we look, and those of other users cannot be looked into.
        with contextlib.suppress(OSError):
            if wanted & set((entry / "environ").read_bytes().split(b"\0")) and not _is_zombie(entry):
                found.append(int(entry.name))
    return found


def _is_zombie(process: Path) -> bool:
    return (process / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
