"""Tells who waits for whom at a FIFO, by looking at it many times a second.

Standard library only, the feeder uses it.
"""

import fcntl
import struct
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds of one channel, over all epochs."""

    opening: float = 0.0
    """No reader had the FIFO open."""
    starved: float = 0.0
    """A reader had it open and it was empty: so long the reader waited for input, at most."""
    supplied: float = 0.0
    """It had bytes that the reader had not taken yet."""
    working: float = 0.0
    """Processor time that the channel's bytes took to make, inflate, frame and send."""


class Gauge:
    """Of one channel. `sample` is called by another thread than the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._last = clock()
        self._seconds = {"opening": 0.0, "starved": 0.0, "supplied": 0.0}
        self._working = 0.0

    def attach(self, fd: int) -> None:
        """The FIFO has a reader; `fd` is our end of it."""
        self.sample()
        with self._lock:
            self._fd = fd

    def detach(self) -> None:
        """The FIFO's end is about to be closed."""
        self.sample()
        with self._lock:
            self._fd = None

    def count(self) -> None:
        """The feeding thread has sent a piece."""
        self._working = time.thread_time()

    def sample(self) -> None:
        """Look at the FIFO; the time since the last look counts as what is found now."""
        with self._lock:
            now = self._clock()
            self._seconds[self._state()] += now - self._last
            self._last = now

    def spent(self) -> Spent:
        """All seconds up to the last look."""
        with self._lock:
            return Spent(**self._seconds, working=self._working)

    def _state(self) -> str:
        if self._fd is None:
            return "opening"
        try:
            (waiting,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))
        except OSError:  # no FIFO: a test's file
            return "supplied"
        return "supplied" if waiting else "starved"
