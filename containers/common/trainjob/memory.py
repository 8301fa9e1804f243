"""Memory that is used again instead of fresh pages, each of which costs as much as filling it."""

import ctypes
import weakref

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes. TensorFlow takes memory over as it lies only from such an address, and else copies it."""
_M_TRIM_THRESHOLD, _KEPT = -1, 1 << 30
_M_MMAP_THRESHOLD, _SHARED = -3, 32 << 20
"""mallopt(3), in bytes: how much may lie free before it goes back to the system, and the largest block that is not a
mapping of its own, of which glibc takes no larger value."""


def keep_freed() -> None:
    """Have malloc keep what is freed, from this call on, for the next that asks for memory.

    Else large blocks go back to the system and come again page by page, which is most of what a network's first steps
    on a CPU take longer. A C library without these settings goes on as ever.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _SHARED)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


class Recycled:
    """Gives out uint8 arrays, to any thread, and holds as much memory as was in use at once."""

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}

    def empty(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """An array of unknown content, which is the caller's for as long as it, or any view of it, is referred to."""
        wanted = shape[0] * shape[1]
        step = 1 << max(12, wanted.bit_length() - 3)
        size = -(-wanted // step) * step  # few sizes, so that arrays of about one length share their memory
        free = self._free.setdefault(size, [])
        try:
            memory = free.pop()
        except IndexError:
            memory = _aligned(size)
        lease = _Lease(memory)
        # Whoever drops the last reference, in whichever thread, returns the memory.
        weakref.finalize(lease, free.append, memory).atexit = False
        return np.asarray(lease)[:wanted].reshape(shape)

    def copy(self, block: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same records in memory of their own."""
        copied = self.empty((block.shape[0], block.shape[1]))
        copied[...] = block
        return copied


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[start : start + size]


class _Lease:
    """What an array given out has for its base, and every view of it too: it lives as long as the last of them."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory = memory
