"""A program's share of this machine's cores, where at AWS it would have an instance to itself."""

import os

from trainjob import contract


def threads(programs: int) -> dict[str, str]:
    """What tells each of so many programs that run at a time to make threads for its share; nothing for one alone.

    OpenMP's threads wait for one another at every step. On two cores two of PyTorch's programs with two threads each
    did 110 steps/s of a small network in all, with one each 258, and a single one with two 196.
    """
    if programs < 2:
        return {}
    # Not all systems know which cores a process may use.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    each = str(max(1, usable // programs))
    return {"OMP_NUM_THREADS": each, contract.THREADS: each}
