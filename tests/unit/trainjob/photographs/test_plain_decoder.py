"""Decoding in threads: answers in the order of the requests, bad JPEGs alone, no thread left."""

import threading

import numpy as np
import pytest
from trainjob.errors import PhotographError
from trainjob.photographs.decoding import Request
from trainjob.photographs.plain_decoder import PlainDecoder
from trainjob.photographs.views import Centre, Crop, Whole, regions

from tests.unit.trainjob.jpegs import drawn, hollow, jpeg, jpeg_of, photograph, shown_by_pillow

pytestmark = pytest.mark.timeout(60)

VIEWS = [Crop(side=24), Centre(side=24, short=30), Whole(short=24)]
JPEGS = [jpeg(30 + index, 40 - index, index) for index in range(12)]
BAD = hollow(JPEGS[3])


def request(view, contents, first: int = 0) -> Request:
    photographs = [photograph(content, first + index) for index, content in enumerate(contents)]
    sizes = [(30 + index, 40 - index) for index in range(len(contents))]
    return Request(photographs, regions(view, sizes, [None] * len(contents), np.random.default_rng(first)))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("threads", [1, 4, None])
def test_every_request_is_answered_in_order_with_what_show_makes_of_it(view, threads):
    asked = [request(view, JPEGS[: 12 - number], 12 * number) for number in range(7)]
    answers = list(PlainDecoder(view, shown_by_pillow, threads).decode(iter(asked)))
    for one, answer in zip(asked, answers, strict=True):
        assert answer.photographs == one.photographs
        assert np.array_equal(answer.regions, one.regions)
        assert answer.failed == []
        assert len(answer.images) == len(one.photographs)
        for image, each, region in zip(answer.images, one.photographs, one.regions.tolist(), strict=True):
            assert image.dtype == np.uint8
            assert np.array_equal(image, shown_by_pillow(each.content, tuple(region), view))


def test_batches_stay_as_they_are_when_later_ones_are_decoded():
    view = VIEWS[0]
    asked = [request(view, JPEGS, 12 * number) for number in range(6)]
    decoder = PlainDecoder(view, shown_by_pillow)
    held = [(answer.images, answer.images.copy()) for answer in decoder.decode(iter(asked))]
    list(decoder.decode(iter(asked)))
    assert all(np.array_equal(*pair) for pair in held)


@pytest.mark.parametrize("view", VIEWS)
def test_bad_jpegs_are_told_and_their_batch_mates_kept(view):
    contents = [BAD if index in (0, 5, 11) else content for index, content in enumerate(JPEGS)]
    good, mixed, none = request(view, JPEGS), request(view, contents), request(view, [BAD, BAD])
    expected, answer, empty = PlainDecoder(view, shown_by_pillow).decode(iter([good, mixed, none]))
    kept = [index for index in range(12) if index not in (0, 5, 11)]
    assert [each.index for each in answer.photographs] == kept
    assert np.array_equal(answer.regions, mixed.regions[kept])
    assert all(np.array_equal(answer.images[i], expected.images[index]) for i, index in enumerate(kept))
    assert [each.index for each, _ in answer.failed] == [0, 5, 11]
    assert all(reason.startswith("cannot be decoded (") for _, reason in answer.failed)
    assert (len(empty.photographs), len(empty.images), len(empty.failed)) == (0, 0, 2)


def test_defect_of_show_is_no_bad_photograph():
    def show(content, region, view):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(PlainDecoder(VIEWS[0], show).decode(iter([request(VIEWS[0], JPEGS)])))


def test_error_of_the_requests_comes_through():
    def requests():
        yield request(VIEWS[0], JPEGS)
        raise PhotographError("is bad")

    with pytest.raises(PhotographError, match="is bad"):
        list(PlainDecoder(VIEWS[0], shown_by_pillow).decode(requests()))


def test_epoch_left_early_stops_at_what_is_being_decoded_and_leaves_no_thread():
    shown = []

    def show(content, region, view):
        shown.append(region)
        threading.Event().wait(0.01)
        return shown_by_pillow(content, region, view)

    before = threading.active_count()
    decoder = PlainDecoder(VIEWS[0], show, threads=2)
    answers = decoder.decode(request(VIEWS[0], JPEGS, 12 * number) for number in range(50))
    next(answers)
    answers.close()
    assert len(shown) < 30, "three requests of twelve were under way"
    assert threading.active_count() == before
    assert len(list(decoder.decode(iter([request(VIEWS[0], JPEGS)])))) == 1


def test_photograph_that_lies_on_its_side_is_shown_as_it_is_stored():
    image = drawn(30, 40)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = request(VIEWS[2], [jpeg_of(image, exif=exif)])
    (answer,) = PlainDecoder(VIEWS[2], shown_by_pillow).decode(iter([turned]))
    assert answer.images[0].shape == (24, 32, 3)
