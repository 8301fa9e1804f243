"""Regions brought to what a view shows by a function that is given: the plain decoder's pixels, whatever the view."""

import numpy as np
import pytest
from trainjob.photographs.resizing import Resizer
from trainjob.photographs.views import Centre, Crop, Whole, regions

from tests.unit.trainjob.jpegs import jpeg, resized_by_pillow, shown_by_pillow

SIZES = [(30, 40), (41, 30), (24, 24)]
JPEGS = [jpeg(*size, index) for index, size in enumerate(SIZES)]
WHOLE = Whole(short=24)
VIEWS = [Crop(side=24), Crop(side=50, antialias=False), Centre(side=24, short=30), Centre(side=23, short=30), WHOLE]


def decoded(found: np.ndarray) -> list[np.ndarray]:
    """The pixels of regions."""
    parts = []
    for content, size, (top, left, height, width) in zip(JPEGS, SIZES, found.tolist(), strict=True):
        whole = shown_by_pillow(content, (0, 0, *size), Whole(short=min(size)))
        parts.append(whole[top : top + height, left : left + width])
    return parts


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_regions_are_shown_as_the_plain_decoder_shows_them(view):
    found = regions(view, SIZES, [None] * 3, np.random.default_rng(0))
    images = Resizer(view, resized_by_pillow).shown(decoded(found), found)
    assert len(images) == 3
    for image, content, region in zip(images, JPEGS, found.tolist(), strict=True):
        assert np.array_equal(image, shown_by_pillow(content, tuple(region), view))


def test_images_stay_as_they_are_while_later_ones_are_shown():
    view, random = VIEWS[0], np.random.default_rng(0)
    resizer, held = Resizer(view, resized_by_pillow), []
    for _ in range(4):
        found = regions(view, SIZES, [None] * 3, random)
        images = resizer.shown(decoded(found), found)
        held.append((images, images.copy()))
    assert all(np.array_equal(*pair) for pair in held)


@pytest.mark.parametrize("view", [VIEWS[0], VIEWS[2], WHOLE], ids=str)
def test_no_regions_are_shown_as_none(view):
    assert len(Resizer(view, resized_by_pillow).shown([], np.empty((0, 4), np.int32))) == 0
