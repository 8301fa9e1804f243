"""How a job shows its channels: which view, order and cache its settings come to, and what that means for pixels."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from trainjob.contract import FILE
from trainjob.errors import PhotographError
from trainjob.photographs.decoded import Host, KeptBatches, Replayed
from trainjob.photographs.decoding import Batches
from trainjob.photographs.plain_decoder import PlainDecoder
from trainjob.photographs.showing import Showing, Shown
from trainjob.photographs.views import Centre, Crop, View, Whole

from tests.unit.trainjob.channels import channel_of_files
from tests.unit.trainjob.jpegs import jpeg, shown_by_pillow

pytestmark = pytest.mark.timeout(60)

SIDE, COUNT = 28, 10


def files(*without: int) -> dict[str, bytes]:
    """A channel of two class folders; those in `without` are cut off."""
    return {
        f"{'ab'[index % 2]}/{index}.jpg": jpeg(40 + index, 50, index).tobytes()[: 300 if index in without else None]
        for index in range(COUNT)
    }


def showing(**settings) -> Showing:
    defaults = {
        "classes": 2, "side": SIDE, "batch_size": 4, "seed": 3, "window": 5, "least_area": 0.5,
        "use_boxes": False, "antialias": True, "on_corrupt": "fail",
    }  # fmt: skip
    return Showing(**defaults | settings)


class Made:
    """Makes plain decoders and remembers for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[View, int]] = []

    def __call__(self, view: View, batch_size: int) -> PlainDecoder:
        self.asked.append((view, batch_size))
        return PlainDecoder(view, shown_by_pillow)


@pytest.fixture
def channel(tmp_path) -> Iterator:
    with channel_of_files(tmp_path / "job", FILE, files()) as opened:
        yield opened


def read(shown: Shown, *numbers: int) -> list[tuple[list[str], np.ndarray]]:
    """Keys and pixels of each epoch."""
    found = []
    for number in numbers:
        batches = list(shown.epoch(number))
        keys = [photograph.key for batch in batches for photograph in batch.photographs]
        found.append((keys, np.concatenate([batch.images for batch in batches])))
    return found


@pytest.mark.parametrize(("side", "short"), [(224, 256), (448, 512), (128, 146), (32, 37)])
def test_short_side_is_an_eighth_more_than_what_is_shown_of_it(side, short):
    assert showing(side=side).short == short


def test_training_shows_random_parts_in_a_new_order_every_epoch(channel):
    make = Made()
    shown = showing(use_boxes=True, antialias=False).training(channel, make, Host())
    assert isinstance(shown, Batches)
    assert make.asked == [(Crop(side=SIDE, least_area=0.5, use_boxes=True, antialias=False), 4)]
    (first, pixels), (second, others) = read(shown, 0, 1)
    assert first != second
    assert sorted(first) == sorted(second) == sorted(files())
    assert pixels.shape == others.shape == (COUNT, SIDE, SIDE, 3)
    place = second.index(first[0])
    assert not np.array_equal(pixels[0], others[place])


def test_evaluation_shows_each_centre_in_the_channels_order_the_same_every_epoch(channel):
    make = Made()
    shown = showing(antialias=False, window=5).evaluation(channel, make)
    assert isinstance(shown, Batches)
    assert make.asked == [(Centre(side=SIDE, short=32, antialias=False), 4)]
    (first, pixels), (second, others) = read(shown, 0, 5)
    assert first == second == [photograph.key for photograph in shown.photographs.epoch(0)]
    assert np.array_equal(pixels, others)


def test_cache_keeps_whole_photographs_of_training_and_centres_of_evaluation(channel):
    make, settings = Made(), showing(keep_bytes=10**6)
    kept, replayed = settings.training(channel, make, Host()), settings.evaluation(channel, make)
    assert (type(kept), type(replayed)) == (KeptBatches, Replayed)
    assert make.asked == [(Whole(short=32), 4), (Centre(side=SIDE, short=32), 4)]
    assert (kept.side, kept.budget_bytes, replayed.budget_bytes) == (SIDE, 10**6, 10**6)
    (first, _), (second, pixels) = read(kept, 0, 1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert pixels.shape == (COUNT, SIDE, SIDE, 3)
    (first, pixels), (second, others) = read(replayed, 0, 1)
    assert first == second
    assert np.array_equal(pixels, others)


def test_kept_photographs_are_put_on_the_shelf_that_was_given(channel):
    class Counting(Host):
        kept = 0

        def keep(self, images):
            self.kept += len(images)
            return images

    shelf = Counting()
    read(showing(keep_bytes=10**6).training(channel, Made(), shelf), 0, 1, 2)
    assert shelf.kept == COUNT


@pytest.mark.parametrize("keep_bytes", [0, 10**6])
def test_bad_photograph_ends_the_job_or_is_left_out_by_the_setting(tmp_path, caplog, keep_bytes):
    caplog.set_level(logging.WARNING)
    with channel_of_files(tmp_path / "job", FILE, files(3, 6)) as channel:
        for which in ("training", "evaluation"):
            arguments = (channel, Made(), Host())[: 3 if which == "training" else 2]
            failing = getattr(showing(keep_bytes=keep_bytes), which)(*arguments)
            with pytest.raises(
                PhotographError, match=r"Channel 'train': '[ab]/[36]\.jpg' was cut off.*on_corrupt=drop"
            ):
                read(failing, 0)
            dropping = getattr(showing(keep_bytes=keep_bytes, on_corrupt="drop"), which)(*arguments)
            for keys, _ in read(dropping, 0, 1):
                assert sorted(keys) == sorted(key for key in files() if key[2] not in "36")
                assert dropping.dropped == 2
