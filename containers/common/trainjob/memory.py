"""Arrays whose memory is used again as soon as nothing refers to it: a fresh page costs as much as filling it."""

import weakref

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes. TensorFlow takes memory over as it lies only from such an address, and else copies it."""


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
