"""A program as a fork of this process, which has imported its framework: there is no import to wait for.

What the program finds is what it would find in an interpreter of its own: arguments, variables, folder, signals, search
path, random numbers that are nobody else's. Only a process without threads can be forked.
"""

import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from trainjob.launching import child

ready = False
"""Whether this process has imported what programs need; `preloading.load` says so, and forks keep it."""
_MODULE = "-m"


class Program(BaseException):
    """Raised in the new process, and only there: leaves all that the launcher has begun; then `run` it."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(*argv)
        self._argv = argv

    def run(self) -> None:
        """Be the program, to its end; what it raises is for the interpreter."""
        if self._argv[1] == _MODULE:
            sys.argv = ["-m", *self._argv[3:]]
            runpy.run_module(self._argv[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(self._argv[1:])
            runpy.run_path(self._argv[1], run_name="__main__")


class Forked:
    """The launcher's handle of such a program; what `child.Child` asks for."""

    def __init__(self, pid: int, stderr: IO[bytes]) -> None:
        self.stderr: IO[bytes] | None = stderr
        self._pid = pid
        self._returned: int | None = None

    def wait(self) -> int:
        """Its exit code; -n after signal n."""
        if self._returned is None:
            self._returned = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._returned

    def send_signal(self, number: int) -> None:
        """Signal it; nothing when its end is known."""
        if self._returned is None:
            os.kill(self._pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fits(argv: Sequence[str]) -> bool:
    """Whether a program can be one: this process is made for it, and it is Python's."""
    of_ours = ready and argv[0] == sys.executable
    return of_ours and (argv[1] == _MODULE or argv[1].endswith(".py"))


def start(argv: Sequence[str], environ: Mapping[str, str], folder: Path | None) -> Forked:
    """Start it, as `child.start` does.

    Raises:
        OSError: There can be no process more.
        Program: This is the new process.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or both processes would
    read, write = os.pipe()
    die_with_parent = child.die_with_parent()
    with child.held() as mask:
        pid = os.fork()
        if pid == 0:
            os.dup2(write, 2)
            os.close(write)
            os.close(read)
            if die_with_parent:
                die_with_parent()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in (signal.SIGTERM, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _begin(argv, environ, folder)
            raise Program(argv)
    os.close(write)
    return Forked(pid, os.fdopen(read, "rb"))


def _begin(argv: Sequence[str], environ: Mapping[str, str], folder: Path | None) -> None:
    """What an interpreter does before it runs a program, as far as it differs from the launcher's."""
    os.environ.clear()
    os.environ.update(environ)
    if folder is not None:
        os.chdir(folder)
    first = Path.cwd() if argv[1] == _MODULE else Path(argv[1]).resolve().parent
    sys.path[:0] = [str(first), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    if environ.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]  # the interpreter's own
    # Python's own numbers begin anew in a fork; NumPy's would be those of all other forks, and PyTorch's first seed is
    # the same everywhere.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
