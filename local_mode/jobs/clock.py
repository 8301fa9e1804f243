"""The time of day for a job's record, from a clock that nobody can set."""

import time
from collections.abc import Callable

Clock = Callable[[], float]


def _since_boot() -> float:
    """Seconds, those included that a laptop slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def steady(wall: Clock = time.time, elapsed: Clock = _since_boot) -> Clock:
    """Seconds since 1970 as they were now, counted on by `elapsed`: a clock that is set moves no time of the job."""
    start, begun = wall(), elapsed()
    return lambda: start + (elapsed() - begun)
