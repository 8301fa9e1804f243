"""A child process that never outlives this one, with its stderr in a pipe."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from trainjob.contract import EXIT_FAILURE

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOPS = (signal.SIGTERM, signal.SIGINT)
"""What a launcher hands on."""


class Child(Protocol):
    """What the launcher asks of a program that it started."""

    stderr: IO[bytes] | None

    def wait(self) -> int:
        """Its exit code; -n after signal n."""
        ...

    def send_signal(self, number: int) -> None:
        """Signal it; nothing when its end is known."""
        ...


def start(
    argv: Sequence[str],
    environ: Mapping[str, str],
    folder: Path | None,
    stderr: int | None = subprocess.PIPE,
    stdout: int | None = None,
    mask: Iterable[int] | None = None,
) -> subprocess.Popen[bytes]:
    """Start it: argv as it stands, no shell; stdin is this process's. On Linux it dies with this one.

    `stdout` and `stderr` of None are this process's own. `mask` are the signals that wait in the child; those that do
    here, else.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument or variable holds a zero byte.
    """
    child: subprocess.Popen[bytes] | None = None
    try:
        with held() as mine:
            child = subprocess.Popen(
                argv,
                env=environ,
                cwd=folder,
                stdout=stdout,
                stderr=stderr,
                preexec_fn=_before_exec(mine if mask is None else mask),  # noqa: PLW1509 - it makes three system calls and takes no lock
            )
    except BaseException:
        if child:  # of a handler: nobody will ever know this child
            child.kill()
            child.wait()
        raise
    return child


@contextmanager
def held() -> Iterator[set[int]]:
    """Stops wait to its end, and the mask of before: what a handler raises amid a fork, Python only prints."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _before_exec(mask: Iterable[int]) -> Callable[[], None]:
    ask = die_with_parent()

    def before_exec() -> None:
        if ask:
            ask()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    return before_exec


def die_with_parent() -> Callable[[], None] | None:
    """What a child of this process is to call first, to end with it; None where no system call does that."""
    if sys.platform != "linux":
        return None
    # Loaded before the fork: the child must not.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before the request stood
            os._exit(EXIT_FAILURE)

    return ask
