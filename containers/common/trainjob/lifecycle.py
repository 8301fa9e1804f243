"""The outermost frame of a program: turns signals into a stop flag, and whatever `main` does into an exit code."""

import atexit
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from trainjob import environment, failure
from trainjob.contract import EXIT_FAILURE, EXIT_SUCCESS
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop, StopRequested

__all__ = ["Stop", "StopRequested", "listen", "run", "undisturbed"]

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Callable[[JobEnvironment, Stop], None], environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Run a program to its exit: 0 when `main` returns or stops as asked, else 1, a clear text and the failure file.

    SIGTERM and SIGINT only set the stop flag: `main` looks at it between two steps and has `stop.seconds_left`.

    The process ends with what is registered for its exit, but without the interpreter's own end: a framework's thread
    that wants the interpreter then is ended on its way through C++, and the process by SIGABRT, with all its work done.

    Raises:
        SystemExit: The one that `main` raises itself, if it does.
    """
    stop = listen()
    _log_to_stderr(environ.get(environment.LOCAL_RANK))
    code = _attempt(main, environ, stop)
    for number in _SIGNALS:
        # A late signal is not to replace the exit code.
        signal.signal(number, signal.SIG_IGN)
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does: waits for all that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader may be gone; the code still counts
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # what native code has printed
    os._exit(code)


def listen() -> Stop:
    """A stop flag that SIGTERM and SIGINT set from now on; for a program that `run` does not frame.

    The flag is set even while the main thread is in a call that does not come back to the interpreter, as a framework's
    wait for data: a thread hears of the signal, too.

    Raises:
        ValueError: This is not the main thread.
    """
    stop = Stop()
    telling = threading.Lock()

    def ask(number: int) -> None:
        # Never waits: the handler may have interrupted this very function.
        if stop.requested or not telling.acquire(blocking=False):
            return
        try:
            stop.request()
            with suppress(OSError):
                # Not through logging: this may interrupt a log call half-way.
                os.write(2, f"{signal.Signals(number).name}: stopping within {stop.seconds_left:.0f} s\n".encode())
        finally:
            telling.release()

    def on_signal(number: int, frame: FrameType | None) -> None:
        ask(number)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    arriving, wakeup = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def hear() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # or `undisturbed` could not hold them back
        while numbers := os.read(arriving, 64):
            for number in numbers:
                if number in _SIGNALS:
                    ask(number)

    threading.Thread(target=hear, name="signals", daemon=True).start()
    return stop


@contextmanager
def undisturbed() -> Iterator[None]:
    """While this lasts a library may set handlers of its own: signals wait, and go to those that were there before."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.getsignal(number))  # what Python knows of, not what the library has put there
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _log_to_stderr(place: str | None) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s {f'[{place}] ' if place else ''}%(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )


def _attempt(main: Callable[[JobEnvironment, Stop], None], environ: Mapping[str, str], stop: Stop) -> int:
    try:
        main(environment.read(environ), stop)
    except StopRequested:
        _log.info("stopped as requested")
    except Exception as error:  # noqa: BLE001 - the outermost frame: whatever went wrong becomes an exit code here
        failure.report(error, environment.paths(environ).failure)
        return EXIT_FAILURE
    return EXIT_SUCCESS
