"""JPEGs decoded by a GPU: the CPU's pixels, handed over where they lie, bad ones lost alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainjob.photographs import jpeg
from trainjob.photographs.dali_pipelines import DaliDecoder, Tuning
from trainjob.photographs.decoding import Decoded, Request
from trainjob.photographs.views import Centre, Crop, View, Whole, regions

from tests.unit.trainjob import jpegs
from tests.unit.trainjob.jpegs import hollow, photograph

pytestmark = pytest.mark.timeout(300)

TOLERANCE = 3.0
"""Mean absolute difference per photograph, of 255, to the CPU's pixels: a GPU brings colours to full size otherwise."""
SIZE = 8
VIEWS = [Crop(side=64), Crop(side=64, antialias=False), Centre(side=97, short=112), Whole(short=50)]
GOOD = jpegs.several(SIZE)


def requests(view: View, contents: list[np.ndarray], count: int = 5) -> list[Request]:
    sizes = [jpeg.size(content) for content in contents]
    photographs = [photograph(content, index) for index, content in enumerate(contents)]
    boxes = [None] * len(sizes)
    return [Request(photographs, regions(view, sizes, boxes, np.random.default_rng(seed))) for seed in range(count)]


def pixels(image: Any) -> np.ndarray:
    """An image on the host, wherever it was."""
    return np.asarray(image.cpu() if hasattr(image, "cpu") else image).astype(np.int16)


def differences(ours: list[Decoded], theirs: list[Decoded]) -> list[float]:
    found = []
    for one, other in zip(ours, theirs, strict=True):
        assert [each.key for each in one.photographs] == [each.key for each in other.photographs]
        for first, second in zip(one.images, other.images, strict=True):
            assert first.shape == second.shape
            found.append(float(np.abs(pixels(first) - pixels(second)).mean()))
    return found


@pytest.mark.parametrize("load", [0.0, 0.65, 1.0])
@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("kind", jpegs.KINDS)
def test_gpu_decodes_to_the_pixels_of_the_cpu(device, kind, view, load):
    contents = jpegs.several(SIZE, **jpegs.KINDS[kind])
    asked = requests(view, contents, 2)
    ours = list(DaliDecoder(view, SIZE, device_id=device, tuning=Tuning(hardware_load=load)).decode(iter(asked)))
    theirs = list(DaliDecoder(view, SIZE).decode(iter(asked)))
    assert [answer.failed for answer in ours] == [[], []]
    assert max(differences(ours, theirs)) <= TOLERANCE


@pytest.mark.parametrize("view", [Crop(side=224), Centre(side=448, short=512)], ids=str)
def test_gpu_decodes_real_photographs_to_the_pixels_of_the_cpu(device, tmp_path: Path, view):
    paths = jpegs.real_photographs(tmp_path)[::10]
    asked = requests(view, [np.fromfile(path, np.uint8) for path in paths], 1)
    ours = list(DaliDecoder(view, len(paths), device_id=device).decode(iter(asked)))
    theirs = list(DaliDecoder(view, len(paths)).decode(iter(asked)))
    assert max(differences(ours, theirs)) <= TOLERANCE


def test_batch_is_handed_over_where_it_lies_and_stays_as_it_is(device, take):
    view = VIEWS[0]
    places = []

    def noting(tensor: Any) -> Any:
        assert int(tensor.__dlpack_device__()[0]) == 2, "kDLCUDA: it was never on the host"
        taken = take(tensor)
        places.append(str(taken.device))
        return taken

    asked = requests(view, GOOD)
    expected = list(DaliDecoder(view, SIZE, device_id=device).decode(iter(asked)))
    decoder = DaliDecoder(view, SIZE, device_id=device, take=noting)
    held = list(decoder.decode(iter(asked)))
    list(decoder.decode(iter(asked)))
    assert max(differences(held, expected)) == 0
    assert len(places) == 10
    assert all(place.lower().endswith(("cuda:0", "gpu:0")) for place in places)


@pytest.mark.parametrize("view", [VIEWS[0], VIEWS[2], VIEWS[3]], ids=str)
def test_bad_jpeg_is_lost_alone_on_a_gpu_and_the_next_batches_are_right(device, take, view):
    asked = requests(view, GOOD)
    expected = list(DaliDecoder(view, SIZE).decode(iter(asked)))
    bad = [photograph(hollow(GOOD[3]), 3) if index == 3 else each for index, each in enumerate(asked[1].photographs)]
    mixed = [asked[0], Request(bad, asked[1].regions), *asked[2:]]
    kept = [index for index in range(SIZE) if index != 3]
    photographs, images = ([each[index] for index in kept] for each in (asked[1].photographs, expected[1].images))
    expected[1] = Decoded(photographs, expected[1].regions[kept], images, [])
    decoder = DaliDecoder(view, SIZE, device_id=device, take=take)
    for _ in range(2):
        answers = list(decoder.decode(iter(mixed)))
        assert max(differences(answers, expected)) <= TOLERANCE
        assert [[each.key for each, _ in answer.failed] for answer in answers] == [[], ["class/0003.jpg"], [], [], []]


@pytest.mark.parametrize("taken", [1, 4])
def test_epoch_left_early_has_no_bearing_on_the_next_one_on_a_gpu(device, taken):
    view = VIEWS[0]
    decoder = DaliDecoder(view, SIZE, device_id=device)
    expected = list(decoder.decode(iter(requests(view, GOOD))))
    answers = decoder.decode(iter(requests(view, GOOD[::-1])))
    for _ in range(taken):
        next(answers)
    answers.close()
    assert max(differences(list(decoder.decode(iter(requests(view, GOOD)))), expected)) == 0


def test_last_batch_may_be_smaller_on_a_gpu(device, take):
    view = VIEWS[2]
    asked = [*requests(view, GOOD, 2), *requests(view, GOOD[:3], 1)]
    answers = list(DaliDecoder(view, SIZE, device_id=device, take=take).decode(iter(asked)))
    assert [len(answer.images) for answer in answers] == [SIZE, SIZE, 3]
    assert max(differences(answers, list(DaliDecoder(view, SIZE).decode(iter(asked))))) <= TOLERANCE
