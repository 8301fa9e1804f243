"""Which part of a photograph is shown: always within it, as large and as wide as was asked for, by seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainjob.photographs.views import BOX_MARGIN, Centre, Crop, Whole, centre, regions, resized

SIDES = st.integers(1, 4000)
SIZES = st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6)
NUMBERS = st.floats(-1e6, 1e6)
BOXES = st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
PORTRAIT, LANDSCAPE = (500, 375), (375, 500)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def drawn(view, sizes, boxes=None, seed=0):
    return regions(view, sizes, boxes or [None] * len(sizes), generator(seed))


@settings(deadline=None, max_examples=60)
@given(SIZES, st.data(), st.floats(0.001, 1), st.integers(0, 2**32))
def test_every_part_lies_within_its_photograph_whatever_its_box(sizes, data, least_area, seed):
    boxes = data.draw(st.lists(BOXES, min_size=len(sizes), max_size=len(sizes)))
    for view in (Crop(side=64, least_area=least_area, use_boxes=True), Whole(short=64, use_boxes=True)):
        parts = drawn(view, sizes, boxes, seed)
        assert parts.dtype == np.int32
        assert parts.shape == (len(sizes), 4)
        for (height, width), (top, left, rows, columns) in zip(sizes, parts.tolist(), strict=True):
            assert 0 <= top < top + rows <= height
            assert 0 <= left < left + columns <= width


@settings(deadline=None, max_examples=100)
@given(st.integers(60, 3000), st.floats(0.5, 2), st.floats(0.05, 0.9), st.integers(0, 2**32))
def test_part_has_the_least_area_and_is_no_narrower_than_three_to_four(height, ratio, least_area, seed):
    width = round(height * ratio)
    parts = drawn(Crop(side=64, least_area=least_area), [(height, width)] * 50, seed=seed).astype(float)
    rows, columns = parts[:, 2], parts[:, 3]
    # Half a pixel of rounding on each side; where nothing fits, the largest part of that shape counts.
    largest = min(height, width * 4 / 3) * min(width, height * 4 / 3)
    assert ((rows + 0.5) * (columns + 0.5) >= min(least_area * height * width, largest) - 1e-6).all()
    assert ((columns + 0.5) / (rows - 0.5) >= 3 / 4).all()
    assert ((columns - 0.5) / (rows + 0.5) <= 4 / 3).all()


def drawn_one_by_one(height: int, width: int, least_area: float, random: np.random.Generator) -> tuple[int, int]:
    """Rows and columns of a part, as torchvision's RandomResizedCrop draws them."""
    for _ in range(10):
        area = height * width * random.uniform(least_area, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < columns <= width and 0 < rows <= height:
            return rows, columns
    return (height, round(height * 4 / 3)) if width > height * 4 / 3 else (round(width * 4 / 3), width)


def test_parts_are_as_large_and_as_wide_as_those_of_torchvision():
    random = generator(1)
    for height, width in (PORTRAIT, (300, 900)):
        ours = drawn(Crop(side=64), [(height, width)] * 4000)[:, 2:].astype(float)
        theirs = np.array([drawn_one_by_one(height, width, 0.08, random) for _ in range(4000)], float)
        for column in range(2):
            quantiles = [np.quantile(parts[:, column], [0.1, 0.25, 0.5, 0.75, 0.9]) for parts in (ours, theirs)]
            assert abs(quantiles[0] - quantiles[1]).max() < 0.04 * height


def test_parts_lie_anywhere_in_the_photograph():
    parts = drawn(Crop(side=64), [PORTRAIT] * 2000).astype(float)
    for first, length, limit in ((0, 2, PORTRAIT[0]), (1, 3, PORTRAIT[1])):
        room = limit - parts[:, length]
        places = parts[room > 50, first] / room[room > 50]
        assert abs(places.mean() - 0.5) < 0.03
        assert places.min() < 0.02
        assert places.max() > 0.98


@pytest.mark.parametrize(("size", "shape"), [((10, 4000), (10, 13)), ((4000, 10), (13, 10)), ((1, 1), (1, 1))])
def test_photograph_too_narrow_for_any_shape_shows_the_largest_that_fits(size, shape):
    parts = drawn(Crop(side=64, least_area=0.9), [size] * 20)
    assert {tuple(part) for part in parts[:, 2:].tolist()} == {shape}


def test_all_of_a_photograph_is_shown_by_the_other_views():
    for view in (Centre(side=64, short=72), Whole(short=64)):
        assert drawn(view, [PORTRAIT, LANDSCAPE], [(10, 10, 20, 20)] * 2).tolist() == [
            [0, 0, 500, 375],
            [0, 0, 375, 500],
        ]


def test_box_is_shown_with_a_margin_as_far_as_there_is_photograph():
    view = Whole(short=64, use_boxes=True)
    assert BOX_MARGIN == 0.1
    parts = drawn(view, [(500, 375)] * 3, [(100, 50, 200, 300), (0, 0, 375, 500), (300, 490, 100, 100)])
    assert parts.tolist() == [[20, 80, 360, 240], [0, 0, 500, 375], [480, 290, 20, 85]]


@pytest.mark.parametrize("box", [(-500, -500, 10, 10), (9000, 9000, 10, 10), (50, 50, 0, 0), (50, 50, -20, -20)])
def test_box_without_a_pixel_of_the_photograph_shows_one_at_its_edge(box):
    ((top, left, rows, columns),) = drawn(Whole(short=64, use_boxes=True), [PORTRAIT], [box]).tolist()
    assert 1 <= rows <= 20
    assert 1 <= columns <= 20
    assert 0 <= top <= 499
    assert 0 <= left <= 374


def test_crop_is_drawn_within_the_box_and_its_margin():
    parts = drawn(Crop(side=64, use_boxes=True), [PORTRAIT] * 200, [(100, 50, 200, 300)] * 200)
    assert (parts[:, 0] >= 20).all()
    assert (parts[:, 1] >= 80).all()
    assert (parts[:, 0] + parts[:, 2] <= 380).all()
    assert (parts[:, 1] + parts[:, 3] <= 320).all()
    without = drawn(Crop(side=64), [PORTRAIT] * 200, [(100, 50, 200, 300)] * 200)
    assert (without[:, 0] < 20).any()


def test_equal_seeds_draw_equal_parts_and_others_draw_others():
    view = Crop(side=64)
    first, again, other = (drawn(view, [PORTRAIT, LANDSCAPE] * 8, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert (first != other).any(axis=1).all()


def test_part_of_a_photograph_does_not_depend_on_its_batch_mates():
    view = Crop(side=64)
    sizes = [PORTRAIT, LANDSCAPE] * 8
    changed = [PORTRAIT if index == 3 else (3000, 17) for index in range(16)]
    changed[3] = sizes[3]
    assert np.array_equal(drawn(view, sizes)[3], drawn(view, changed)[3])


def test_no_photographs_have_no_parts():
    assert drawn(Crop(side=64), []).shape == (0, 4)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(1, 600))
def test_short_side_becomes_what_was_asked_for_and_the_long_one_keeps_the_shape(height, width, short):
    rows, columns = resized(Whole(short=short), height, width)
    assert min(rows, columns) == short
    assert abs(rows * width - columns * height) <= max(height, width)


def test_centre_is_cut_from_the_middle():
    view = Centre(side=4, short=5)
    assert [centre(view, *shape) for shape in ((5, 5), (6, 4), (4, 9))] == [(0, 0), (1, 0), (0, 2)]


def test_square_larger_than_the_short_side_is_refused():
    with pytest.raises(ValueError, match="no square of 6 pixels in a photograph of 5"):
        Centre(side=6, short=5)
