"""A set kept decoded: the same batches whether a job resumes or not, no channel read again, no more than fits."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from trainjob.contract import FILE, PIPE
from trainjob.errors import PhotographError
from trainjob.framing import recordio
from trainjob.photographs.decoded import KeptBatches, Replayed
from trainjob.photographs.decoding import Batch, Batches
from trainjob.photographs.epochs import Photographs
from trainjob.photographs.plain_decoder import PlainDecoder
from trainjob.photographs.views import Centre, Whole

from tests.unit.trainjob.channels import channel_of
from tests.unit.trainjob.jpegs import hollow, jpeg, shown_by_pillow

pytestmark = pytest.mark.timeout(60)

COUNT, SIZE, SIDE = 22, 8, 12
JPEGS = [jpeg(20 + index, 40 - index, index) for index in range(COUNT)]
ENOUGH, LITTLE = 1 << 30, 3000


def wrapped(jpegs: list[np.ndarray]) -> bytes:
    file = io.BytesIO()
    for index, content in enumerate(jpegs):
        for payload in (content.tobytes(), b"%d" % (index % 3), b"photo_%02d.jpg" % index):
            recordio.write(file, payload)
    return file.getvalue()


def batches_of(channel, view, **arguments) -> Batches:
    photographs = Photographs(channel=channel, classes=3, window=5, seed=3)
    decoder = PlainDecoder(view, shown_by_pillow, 2)
    return Batches(photographs=photographs, decoder=decoder, batch_size=SIZE, seed=3, **arguments)


def kept_of(channel, budget_bytes=ENOUGH, **arguments) -> KeptBatches:
    whole = batches_of(channel, Whole(short=16), **arguments)
    return KeptBatches(whole=whole, side=SIDE, budget_bytes=budget_bytes)


def told(batches: Iterator[Batch]) -> list[tuple]:
    """Batches as they were, to compare."""
    return [
        (batch.images.tobytes(), batch.images.shape, batch.labels.tolist(), [each.key for each in batch.photographs])
        for batch in batches
    ]


def read(folder, mode=FILE, budget_bytes=ENOUGH, first=0, epochs=4, skip=0, jpegs=JPEGS, **arguments):
    """What the epochs from `first` on give, the first of them without its start; and how often the channel was read."""
    with channel_of(folder, mode, [wrapped(jpegs)]) as channel:
        kept = kept_of(channel, budget_bytes, **arguments)
        found = [told(kept.epoch(number, skip if number == first else 0)) for number in range(first, epochs)]
        return found, channel.opened


@pytest.mark.parametrize("budget_bytes", [ENOUGH, LITTLE])
def test_epochs_are_of_parts_of_all_photographs_and_differ(tmp_path, budget_bytes):
    found, _ = read(tmp_path / "a", budget_bytes=budget_bytes)
    for epoch in found:
        assert [shape for _, shape, *_ in epoch] == [(8, 12, 12, 3), (8, 12, 12, 3), (6, 12, 12, 3)]
        keys = [key for *_, keys in epoch for key in keys]
        assert sorted(keys) == [f"photo_{index:02d}.jpg" for index in range(COUNT)]
        for _, _, labels, names in epoch:
            assert labels == [int(name[6:8]) % 3 for name in names]
    assert len({str(epoch) for epoch in found}) == len(found)


@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_channel_is_read_once_if_the_set_fits_and_every_time_if_not(tmp_path, mode, caplog):
    assert read(tmp_path / "a", mode)[1] == 1
    assert not caplog.records
    assert read(tmp_path / "b", mode, LITTLE)[1] == 4
    said = [record.message for record in caplog.records]
    assert said == ["channel 'train' is larger than its cache of 0 MB: every epoch is decoded; raise cache_mb"]


def test_parts_are_of_the_photograph_that_their_label_and_key_are_of(tmp_path):
    view = Whole(short=16)
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        kept = kept_of(channel)
        for number in range(3):
            for batch in kept.epoch(number):
                for image, each in zip(batch.images, batch.photographs, strict=True):
                    height, width = 20 + each.index, 40 - each.index
                    whole = shown_by_pillow(JPEGS[each.index], (0, 0, height, width), view)
                    windows = np.lib.stride_tricks.sliding_window_view(whole, (SIDE, SIDE, 3))
                    assert (windows == image).all((3, 4, 5)).any()


@pytest.mark.parametrize("budget_bytes", [ENOUGH, LITTLE])
@pytest.mark.parametrize(("first", "skip"), [(0, 0), (0, 2), (1, 0), (2, 0), (2, 1), (3, 2), (3, 3)])
def test_job_that_resumes_has_the_batches_of_one_that_was_not_interrupted(tmp_path, first, skip, budget_bytes):
    whole, _ = read(tmp_path / "whole", budget_bytes=budget_bytes)
    for mode in (FILE, PIPE):
        rest, _ = read(tmp_path / f"rest-{mode}", mode, budget_bytes, first, skip=skip)
        assert rest == [whole[first][skip:], *whole[first + 1 :]]


def test_epoch_left_early_is_decoded_again_and_kept_then(tmp_path):
    whole, _ = read(tmp_path / "whole")
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        kept = kept_of(channel)
        for _ in kept.epoch(0):
            break
        assert [told(kept.epoch(number)) for number in (1, 2)] == whole[1:3]
        assert channel.opened == 2


def test_budget_is_of_pixels_to_the_byte(tmp_path):
    pixels = sum(16 * max(round(16 * max(h, w) / min(h, w)), 16) * 3 for h, w in _sizes())
    assert read(tmp_path / "a", budget_bytes=pixels)[1] == 1
    assert read(tmp_path / "b", budget_bytes=pixels - 1)[1] == 4


def _sizes() -> list[tuple[int, int]]:
    return [(20 + index, 40 - index) for index in range(COUNT)]


def test_set_that_does_not_fit_is_not_held(tmp_path):
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        kept = kept_of(channel, LITTLE)
        list(kept.epoch(0))
        assert kept._kept is None


@pytest.mark.parametrize("budget_bytes", [ENOUGH, LITTLE])
def test_bad_photograph_is_left_out_of_every_epoch(tmp_path, budget_bytes):
    jpegs = [*JPEGS[:9], hollow(JPEGS[9]), JPEGS[10][:-9], *JPEGS[11:]]
    arguments = {"budget_bytes": budget_bytes, "jpegs": jpegs, "on_corrupt": "drop"}
    found, _ = read(tmp_path / "a", **arguments)
    for epoch in found:
        names = {key for *_, keys in epoch for key in keys}
        assert names == {f"photo_{index:02d}.jpg" for index in range(COUNT) if index not in (9, 10)}
    assert read(tmp_path / "b", first=2, **arguments)[0] == found[2:]
    with channel_of(tmp_path / "c", FILE, [wrapped(jpegs)]) as channel:
        kept = kept_of(channel, budget_bytes, on_corrupt="drop")
        for number in range(3):
            list(kept.epoch(number))
            assert kept.dropped == 2


def test_bad_photograph_ends_the_job_by_its_key(tmp_path):
    with pytest.raises(PhotographError, match="'photo_01.jpg' cannot be decoded"):
        read(tmp_path / "a", jpegs=[JPEGS[0], hollow(JPEGS[1])])


def test_batch_that_was_given_out_stays_as_it_is(tmp_path):
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        kept = kept_of(channel)
        held = [(batch.images, batch.images.copy()) for number in range(3) for batch in kept.epoch(number)]
        assert all(np.array_equal(*pair) for pair in held)
        assert all(each.content.size == 0 for _, each in kept._kept), "no JPEG is kept beside its pixels"


@pytest.mark.parametrize("view", [Whole(short=SIDE - 1), Centre(side=SIDE, short=16)])
def test_parts_that_cannot_be_cut_out_are_refused_at_birth(tmp_path, view):
    with (
        channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel,
        pytest.raises(ValueError, match="parts of 12 pixels cannot be cut out of"),
    ):
        KeptBatches(whole=batches_of(channel, view), side=SIDE, budget_bytes=ENOUGH)


def replayed_of(channel, budget_bytes) -> Replayed:
    photographs = Photographs(channel=channel, classes=3)
    decoder = PlainDecoder(Centre(side=SIDE, short=16), shown_by_pillow, 2)
    return Replayed(
        batches=Batches(photographs=photographs, decoder=decoder, batch_size=SIZE), budget_bytes=budget_bytes
    )


BYTES = COUNT * SIDE * SIDE * 3


@pytest.mark.parametrize(("budget_bytes", "opened"), [(BYTES, 1), (BYTES - 1, 4)])
def test_evaluation_is_decoded_once_if_it_fits_and_the_same_every_time(tmp_path, budget_bytes, opened):
    with channel_of(tmp_path / "a", PIPE, [wrapped(JPEGS)]) as channel:
        replayed = replayed_of(channel, budget_bytes)
        found = [told(replayed.epoch(number)) for number in range(4)]
        assert channel.opened == opened
    assert found[1:] == found[:1] * 3
    assert [shape[0] for _, shape, *_ in found[0]] == [8, 8, 6]


def test_evaluation_without_its_start_is_the_rest_and_is_kept_from_the_next_one_on(tmp_path):
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        whole = told(replayed_of(channel, BYTES).epoch(0))
        replayed = replayed_of(channel, BYTES)
        before = channel.opened
        assert told(replayed.epoch(2, skip=1)) == whole[1:]
        assert [told(replayed.epoch(number)) for number in (3, 4)] == [whole, whole]
        assert told(replayed.epoch(5, skip=2)) == whole[2:]
        assert channel.opened == before + 2


def test_evaluation_left_early_is_not_taken_for_the_whole(tmp_path):
    with channel_of(tmp_path / "a", FILE, [wrapped(JPEGS)]) as channel:
        replayed = replayed_of(channel, BYTES)
        for _ in replayed.epoch(0):
            break
        assert len(told(replayed.epoch(1))) == 3
