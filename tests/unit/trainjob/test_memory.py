"""Recycled memory: never given out while anything refers to it, always given out again after."""

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
