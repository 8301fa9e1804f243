"""The processor cores that this process may use, which are not always all that the machine has."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def usable() -> list[int]:
    """Their numbers; from 0 on where the system keeps no such list."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def part(cores: Sequence[int], index: int, count: int) -> list[int]:
    """Those of one of several processes that are not to get into one another's way; all, where they do not go round."""
    each = len(cores) // count
    return list(cores[index * each : (index + 1) * each] or cores)


@contextmanager
def bound(cores: Sequence[int]) -> Iterator[None]:
    """Whatever this thread starts meanwhile uses these alone."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
