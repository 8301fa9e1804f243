"""The outermost frame of a program: turns signals into a stop flag, and whatever `main` does into an exit code."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from trainjob import environment, failure
from trainjob.contract import EXIT_FAILURE, EXIT_SUCCESS
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop, StopRequested

__all__ = ["Stop", "StopRequested", "run"]

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Callable[[JobEnvironment, Stop], None], environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Run a program to its exit: 0 when `main` returns or stops as asked, else 1, a clear text and the failure file.

    SIGTERM and SIGINT only set the stop flag: `main` looks at it between two steps and has `stop.seconds_left`.

    Raises:
        SystemExit: Always; one that `main` raises itself keeps its code.
    """
    stop = Stop()
    _listen(stop)
    _log_to_stderr()
    code = _attempt(main, environ, stop)
    for number in _SIGNALS:
        # The interpreter, on its way out, would put back the default, and a late signal would replace the exit code.
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader may be gone; the code still counts
            stream.flush()
    sys.exit(code)


def _listen(stop: Stop) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        if not stop.requested:
            stop.request()
            with suppress(OSError):
                # Not through logging: this may interrupt a log call half-way.
                os.write(2, f"{signal.Signals(number).name}: stopping within {stop.seconds_left:.0f} s\n".encode())

    for number in _SIGNALS:
        signal.signal(number, on_signal)


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
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
