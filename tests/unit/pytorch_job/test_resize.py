"""Photographs resized by torch, which DALI leaves to it on a CPU."""

import numpy as np
import pytest
from pytorch_job.photographs import resize

from tests.unit.trainjob.jpegs import drawn, resized_by_pillow

SHAPES = [(40, 50), (300, 211), (1, 1), (1, 60), (64, 64)]
SIZES = [(64, 64), (17, 90), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("antialias", [True, False])
def test_pixels_are_pillows(shape, size, antialias):
    pixels = np.array(drawn(*shape))
    before = pixels.copy()
    made = resize(pixels, size, antialias)
    assert (made.shape, made.dtype) == ((*size, 3), np.uint8)
    difference = np.abs(made.astype(int) - resized_by_pillow(pixels, size, antialias)).max()
    # Both round what is filtered; what is not, Pillow cuts off, and mixes at the edges with what lies beyond.
    assert difference <= 1
    assert not np.shares_memory(made, pixels)
    assert np.array_equal(pixels, before)
