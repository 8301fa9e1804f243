"""The request to stop: a flag with a deadline, and what a wait raises that it cut short."""

import math
import time

from trainjob.contract import STOP_GRACE_SECONDS

PROGRAM_SECONDS = float(STOP_GRACE_SECONDS - 15)
"""Seconds a program has from the request to its exit; the rest is the launcher's, and slack before SIGKILL."""


class StopRequested(Exception):  # noqa: N818 - not an error: the job ends as it was asked to
    """Raised by a wait that a stop request cut short; lets a program unwind from deep inside its input."""


class Stop:
    """Whether, and since when, the job is asked to stop. It ends nothing itself: the program looks at it.

    Safe to call from a signal handler: no lock, no I/O.
    """

    def __init__(self, seconds: float = PROGRAM_SECONDS) -> None:
        self._seconds = seconds
        self._deadline = math.inf

    def request(self) -> None:
        """Ask for the stop; the deadline counts from the first call, later ones change nothing."""
        if not self.requested:
            self._deadline = time.monotonic() + self._seconds

    @property
    def requested(self) -> bool:
        """Whether the stop has been asked for."""
        return self._deadline < math.inf

    def check(self) -> None:
        """Raise StopRequested if the stop has been asked for."""
        if self.requested:
            raise StopRequested

    @property
    def seconds_left(self) -> float:
        """Seconds until the program should be gone, never below 0; infinite before the request."""
        return max(0.0, self._deadline - time.monotonic())
