"""A child process that never outlives this one, with its stderr in a pipe."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainjob.contract import EXIT_FAILURE

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start(argv: Sequence[str], environ: Mapping[str, str], folder: Path | None) -> subprocess.Popen[bytes]:
    """Start it: argv as it stands, no shell; stdin and stdout are this process's. On Linux it dies with this one.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument or variable holds a zero byte.
    """
    return subprocess.Popen(
        argv,
        env=environ,
        cwd=folder,
        stderr=subprocess.PIPE,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it makes two system calls and takes no lock
    )


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    # Loaded before the fork: the child must not.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before the request stood
            os._exit(EXIT_FAILURE)

    return before_exec
