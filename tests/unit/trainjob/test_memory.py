"""Memory used again: never given out while anything refers to it, always given out again after."""

import subprocess
import sys

import numpy as np
from trainjob.memory import Recycled


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_that_nothing_refers_to_is_given_out_again():
    memory = Recycled()
    first = memory.empty((4, 5))
    place = address(first)
    del first

    assert address(memory.empty((5, 4))) == place


def test_memory_is_not_given_out_while_a_view_of_a_view_refers_to_it():
    memory = Recycled()
    first = memory.copy(np.full((4, 5), 7, np.uint8))
    view = first[1:].reshape(-1)[3:]
    del first
    others = [memory.copy(np.zeros((4, 5), np.uint8)) for _ in range(3)]

    assert (view == 7).all()
    assert len({address(other) for other in others}) == 3


def test_arrays_of_about_one_size_share_memory_and_others_do_not():
    memory = Recycled()
    place = address(memory.empty((1000, 3073)))

    assert address(memory.empty((500, 3073))) != place
    assert address(memory.empty((999, 3073))) == place
    assert memory.empty((0, 3)).shape == (0, 3)


FAULTS = """
import ctypes, resource, sys
from trainjob import memory

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.memset.argtypes, library.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]
if sys.argv[1] == "keep":
    memory.keep_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in range(1, 17):
    block = library.malloc(size << 20)
    library.memset(block, 1, size << 20)
    library.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_what_is_freed_is_kept_for_the_next_that_asks():
    """Of blocks that grow, each would else be fresh pages, 34,816 of 4 KiB in all; the largest has 4,096."""
    kept, fresh = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, stdout=subprocess.PIPE, timeout=60).stdout)
        for how in ("keep", "leave")
    )

    assert kept < fresh / 2, (kept, fresh)
