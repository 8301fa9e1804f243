"""Batches of pixels: which photographs and parts they hold, what a bad JPEG does, and what an early end leaves."""

import io
import logging
import threading
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from trainjob.contract import FILE, PIPE
from trainjob.errors import PhotographError, RecordError
from trainjob.framing import recordio
from trainjob.photographs.decoding import REQUESTED_AHEAD, Batch, Batches, Decoded, Request
from trainjob.photographs.epochs import Photographs
from trainjob.photographs.views import Crop

from tests.unit.trainjob.channels import channel_of, open_descriptors
from tests.unit.trainjob.jpegs import jpeg

pytestmark = pytest.mark.timeout(60)

COUNT, SIZE = 40, 16
JPEGS = [jpeg(40 + index, 50, index).tobytes() for index in range(COUNT)]
VIEW = Crop(side=4)


class FakeDecoder:
    """Shows a photograph as its region's numbers and its index; fails those whose bytes end with `bad`."""

    def __init__(self) -> None:
        self.view = VIEW
        self.asked = 0

    def decode(self, requests: Iterable[Request]) -> Iterator[Decoded]:
        for request in requests:
            self.asked += 1
            kept = [i for i, each in enumerate(request.photographs) if each.content[-3:].tobytes() != b"bad"]
            failed = [(each, "has no colours") for i, each in enumerate(request.photographs) if i not in kept]
            photographs = [request.photographs[index] for index in kept]
            images = np.array(
                [[*request.regions[i], request.photographs[i].index] for i in kept], np.int64
            )  # fmt: skip
            yield Decoded(photographs, request.regions[kept], images, failed)


def wrapped(jpegs: list[bytes]) -> bytes:
    file = io.BytesIO()
    for index, content in enumerate(jpegs):
        for payload in (content, b"%d" % (index % 3), b"photo_%02d.jpg" % index):
            recordio.write(file, payload)
    return file.getvalue()


def batches_of(channel, **arguments) -> Batches:
    window = arguments.pop("window", 0)
    photographs = Photographs(channel=channel, classes=3, window=window, seed=arguments.get("seed", 0))
    decoder = arguments.pop("decoder", None) or FakeDecoder()
    return Batches(photographs=photographs, decoder=decoder, batch_size=SIZE, **arguments)


def read(folder, jpegs=None, mode=FILE, epochs=1, skip=0, **arguments) -> list[list[Batch]]:
    with channel_of(folder, mode, [wrapped(jpegs or JPEGS)]) as channel:
        batches = batches_of(channel, **arguments)
        return [list(batches.epoch(number, skip if number == epochs - 1 else 0)) for number in range(epochs)]


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a.images, b.images)
        and np.array_equal(a.labels, b.labels)
        and [each.key for each in a.photographs] == [each.key for each in b.photographs]
        for a, b in zip(one, other, strict=True)
    )


def without(*places: int, content: bytes = JPEGS[0][:-9]) -> list[bytes]:
    return [content if index in places else each for index, each in enumerate(JPEGS)]


def test_batches_are_full_but_the_last_and_hold_every_photograph_with_its_label(tmp_path):
    (epoch,) = read(tmp_path / "a", window=10)
    assert [len(batch.photographs) for batch in epoch] == [16, 16, 8]
    assert sorted(each.index for batch in epoch for each in batch.photographs) == list(range(COUNT))
    for batch in epoch:
        assert batch.labels.dtype == np.int64
        assert batch.labels.tolist() == [each.index % 3 for each in batch.photographs]
        assert batch.images[:, -1].tolist() == [each.index for each in batch.photographs]


def test_equal_seeds_show_equal_parts_in_every_mode_and_epochs_show_others(tmp_path):
    first = read(tmp_path / "a", window=10, seed=5, epochs=2)
    again = read(tmp_path / "b", window=10, seed=5, epochs=2, mode=PIPE)
    other = read(tmp_path / "c", window=10, seed=6)
    assert all(same(*pair) for pair in zip(first, again, strict=True))
    assert not same(first[0], first[1])
    assert not same(first[0], other[0])
    parts = [{each[-1]: each[:-1] for batch in epoch for each in batch.images.tolist()} for epoch in first]
    assert all(parts[0][index] != parts[1][index] for index in range(COUNT))


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_epoch_without_its_start_is_the_rest_of_the_whole_one(tmp_path, mode, skip):
    arguments = {"window": 7, "seed": 2, "on_corrupt": "drop", "epochs": 2, "jpegs": without(0, 17)}
    whole = read(tmp_path / "a", mode=mode, **arguments)[1]
    decoder = FakeDecoder()
    rest = read(tmp_path / "b", mode=mode, skip=skip, decoder=decoder, **arguments)[1]
    assert same(rest, whole[skip:])
    assert decoder.asked == len(whole) + len(rest), "what is skipped is not decoded"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no JPEG: it has no bytes"),
        (JPEGS[0][:-9], "was cut off: .* and no end of image among them"),
        (b"\x89PNG" + bytes(99), "is no JPEG: it begins with 89504e47"),
        (JPEGS[0] + b"bad", "has no colours"),
    ],
)
def test_bad_photograph_ends_the_job_and_is_named_by_its_key(tmp_path, content, reason):
    before = threading.active_count()
    for mode in (FILE, PIPE):
        text = f"Channel 'train': 'photo_20.jpg' {reason}; mend or remove it, or set on_corrupt=drop"
        with channel_of(tmp_path / mode, mode, [wrapped(without(20, content=content)) * 40]) as channel:
            channel.looks_ahead = False
            with pytest.raises(PhotographError, match=text) as caught:
                list(batches_of(channel).epoch(0))
            assert caught.tb is not None  # which refers to all that was open
            assert open_descriptors(tmp_path) == []
            assert "prefetch" not in [thread.name for thread in threading.enumerate()]
    assert threading.active_count() <= before + 1


def test_bad_photograph_found_in_its_header_leaves_its_place_to_the_next(tmp_path, caplog):
    (epoch,) = read(tmp_path / "a", without(3, 20, 21), on_corrupt="drop")
    assert [len(batch.photographs) for batch in epoch] == [16, 16, 5]
    assert [each.index for batch in epoch for each in batch.photographs] == [
        index for index in range(COUNT) if index not in (3, 20, 21)
    ]
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "Channel 'train': 'photo_03.jpg' was cut off: " in said[0]
    assert said[0].endswith("; left out")
    assert said[-1] == "channel 'train', epoch 1: 3 photographs left out"


def test_bad_photograph_found_by_the_decoder_is_lost_alone(tmp_path, caplog):
    good = read(tmp_path / "good")[0]
    (epoch,) = read(tmp_path / "bad", without(20, 39, content=JPEGS[7] + b"bad"), on_corrupt="drop")
    assert [len(batch.photographs) for batch in epoch] == [16, 15, 7]
    for batch in epoch:
        assert batch.labels.tolist() == [each.index % 3 for each in batch.photographs]
        assert batch.images[:, -1].tolist() == [each.index for each in batch.photographs]
    assert same(epoch[:1], good[:1])
    assert "Channel 'train': 'photo_20.jpg' has no colours; left out" in caplog.text


def test_batch_that_is_lost_whole_is_left_out(tmp_path):
    lost = without(*range(16, 32), content=JPEGS[7] + b"bad")
    (epoch,) = read(tmp_path / "a", lost, on_corrupt="drop")
    assert [len(batch.photographs) for batch in epoch] == [16, 8]


@pytest.mark.parametrize("content", [JPEGS[7] + b"bad", b""])
def test_channel_of_which_nothing_can_be_decoded_is_told_as_one(tmp_path, content):
    with pytest.raises(PhotographError, match="'train': none of its 3 photographs can be decoded; prepare the data"):
        read(tmp_path / "a", [content] * 3, on_corrupt="drop")
    read(tmp_path / "b", [content, JPEGS[0]], on_corrupt="drop", skip=1)


def test_photographs_left_out_are_counted_anew_in_every_epoch(tmp_path):
    jpegs = without(20, content=JPEGS[7] + b"bad")
    jpegs[3] = b""
    with channel_of(tmp_path / "a", PIPE, [wrapped(jpegs)]) as channel:
        batches = batches_of(channel, on_corrupt="drop")
        for number in range(3):
            assert sum(len(batch.photographs) for batch in batches.epoch(number)) == COUNT - 2
            assert batches.dropped == 2


def test_epoch_without_a_bad_photograph_says_nothing(tmp_path, caplog):
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        batches = batches_of(channel, on_corrupt="drop")
        list(batches.epoch(0))
    assert batches.dropped == 0
    assert not caplog.records


LONG = wrapped([jpeg(200, 300).tobytes()]) * 200
"""More than a FIFO and all that is read ahead hold."""


@pytest.mark.parametrize("mode", [FILE, PIPE])
@pytest.mark.parametrize("way", ["closed", "dropped", "error"])
def test_epoch_left_early_leaves_nothing_open_and_the_next_is_whole(tmp_path, mode, way):
    before = threading.active_count()
    with channel_of(tmp_path / "a", mode, [LONG]) as channel:
        channel.looks_ahead = False
        batches = batches_of(channel)
        epoch = batches.epoch(0)
        next(epoch)
        assert len(open_descriptors(tmp_path)) == 1
        if way == "closed":
            epoch.close()
        elif way == "error":
            with pytest.raises(ZeroDivisionError):
                epoch.throw(ZeroDivisionError())
        del epoch
        assert open_descriptors(tmp_path) == []
        assert sum(len(batch.photographs) for batch in batches.epoch(1)) == 200
    assert threading.active_count() <= before + 1, "the feeder's own"


def test_error_of_the_channel_comes_as_it_is_and_leaves_nothing_open(tmp_path):
    with channel_of(tmp_path / "a", PIPE, [LONG + b"\x0a\x23\xd7\xce" + b"\xff" * 8]) as channel:
        channel.looks_ahead = False
        with pytest.raises(RecordError, match="'train', epoch 0: record 600"):
            list(batches_of(channel).epoch(0))
        assert open_descriptors(tmp_path) == []


def test_no_more_is_read_ahead_than_two_batches_and_what_is_under_way(tmp_path, monkeypatch):
    taken = []
    whole = Photographs.epoch
    monkeypatch.setattr(Photographs, "epoch", lambda *each: (taken.append(one) or one for one in whole(*each)))
    with channel_of(tmp_path / "a", FILE, [LONG]) as channel:
        epoch = batches_of(channel).epoch(0)
        next(epoch)
        threading.Event().wait(0.5)  # as long as it takes to read it all
        assert SIZE < len(taken) <= (REQUESTED_AHEAD + 2) * SIZE
        epoch.close()
