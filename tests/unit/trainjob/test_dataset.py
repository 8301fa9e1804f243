"""A channel as epochs of batches: the same ones whatever the mode and framing, each in memory of its own."""

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainjob import cifar10, dataset
from trainjob.contract import FAST_FILE, FILE, PIPE, Paths
from trainjob.dataset import Dataset, Share
from trainjob.errors import ChannelError, RecordError, TruncatedRecordError
from trainjob.framing import recordio, tfrecord

from tests.unit.trainjob.channels import channel_of, open_descriptors

pytestmark = pytest.mark.timeout(60)

MODES = [FILE, FAST_FILE, PIPE]
FRAMINGS = ["fixed", "tfrecord", "recordio"]
COUNT, RECORD_BYTES = 2500, 7


def drawn(count: int = COUNT, size: int = RECORD_BYTES) -> np.ndarray:
    """Records that all differ: the first bytes count."""
    block = np.random.default_rng(5).integers(0, 256, (count, size), np.uint8)
    block[:, :2] = np.arange(count, dtype="<u2").view(np.uint8).reshape(-1, 2)
    return block


def encoded(block: np.ndarray, framing: str, objects: int = 3) -> list[bytes]:
    contents = []
    for part in np.array_split(block, objects):
        file = io.BytesIO()
        for record in part:
            if framing == "fixed":
                file.write(record.tobytes())
            else:
                {"tfrecord": tfrecord, "recordio": recordio}[framing].write(file, record.tobytes())
        contents.append(file.getvalue())
    return contents


def rows_of(batches) -> np.ndarray:
    return np.concatenate(list(batches))


def ordered(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T[::-1])]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """So that an epoch has many, as a channel of gigabytes has."""
    monkeypatch.setattr(dataset, "BLOCK_BYTES", 300 * RECORD_BYTES)


def read(folder: Path, mode: str, framing: str, epochs: int = 2, **arguments) -> list[list[np.ndarray]]:
    arguments = {"record_bytes": RECORD_BYTES, "batch_size": 64, "window": 500, "seed": 3, **arguments}
    with channel_of(folder, mode, encoded(drawn(), framing)) as opened:
        data = Dataset(channel=opened, **arguments)
        return [list(data.epoch(number)) for number in range(epochs)]


def test_mode_and_framing_and_cache_make_no_difference_to_any_batch(tmp_path):
    expected = read(tmp_path / "expected", FILE, "fixed")
    assert [len(batch) for batch in expected[0]] == [64] * 39 + [4]
    for mode in MODES:
        for framing in FRAMINGS:
            for cache_bytes in (0, 1 << 20):
                found = read(tmp_path / f"{mode}-{framing}-{cache_bytes}", mode, framing, cache_bytes=cache_bytes)
                for one, other in zip(expected, found, strict=True):
                    assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True)), (mode, framing)


def test_epochs_hold_every_record_in_orders_of_their_own_and_repeat_for_the_seed(tmp_path):
    first, second = (rows_of(epoch) for epoch in read(tmp_path / "a", FILE, "fixed"))
    assert np.array_equal(ordered(first), ordered(drawn()))
    assert np.array_equal(ordered(second), ordered(drawn()))
    assert not np.array_equal(first, second)
    again = [rows_of(epoch) for epoch in read(tmp_path / "b", FILE, "fixed")]
    assert np.array_equal(first, again[0])
    assert np.array_equal(second, again[1])
    assert not np.array_equal(first, rows_of(read(tmp_path / "c", FILE, "fixed", 1, seed=4)[0]))
    assert np.array_equal(rows_of(read(tmp_path / "d", FILE, "fixed", 1, window=0)[0]), drawn())


@given(count=st.integers(1, 7), total=st.integers(1, 900), framing=st.sampled_from(FRAMINGS), window=st.integers(0, 40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shares_are_disjoint_and_together_everything(tmp_path_factory, count, total, framing, window):
    block = drawn(total)
    with channel_of(tmp_path_factory.mktemp("c") / "base", FILE, encoded(block, framing)) as opened:
        shares = []
        for index in range(count):
            data = Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=10, window=window,
                           share=Share(index=index, count=count), framing=framing)  # fmt: skip
            shares.append(np.concatenate([block[:0], *data.epoch(1)]))
    for index, rows in enumerate(shares):
        assert np.array_equal(ordered(rows), ordered(block[index::count]))
    assert np.array_equal(ordered(np.concatenate(shares)), ordered(block))


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_share_that_is_none_is_refused(index, count):
    with pytest.raises(ValueError, match=f"share {index} of {count}: the index must be 0 to {count - 1}"):
        Share(index=index, count=count)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_batch_a_caller_keeps_is_never_overwritten(tmp_path, mode, framing):
    for window in (0, 1, 500, 5000):
        for cache_bytes in (0, 1000, 1 << 20):
            with channel_of(tmp_path / f"{window}-{cache_bytes}", mode, encoded(drawn(), framing)) as opened:
                data = Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=64, window=window,
                               cache_bytes=cache_bytes)  # fmt: skip
                kept, copies = [], []
                for number in range(3):
                    for batch in data.epoch(number):
                        kept.append(batch)
                        copies.append(batch.copy())
            case = (window, cache_bytes)
            assert all(np.array_equal(*pair) for pair in zip(kept, copies, strict=True)), case
            for batch in kept:  # nor is it read again: a framework may write to it
                batch[:] = 0
            if cache_bytes == 1 << 20:
                assert np.array_equal(ordered(rows_of(data.epoch(0))), ordered(drawn())), case


def test_batch_does_not_keep_much_more_than_itself(tmp_path):
    batches = read(tmp_path / "base", FILE, "fixed", epochs=1)[0]
    for batch in batches:
        owner = batch
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        assert owner.nbytes <= 500 * RECORD_BYTES + 4096  # of which memory is a multiple


@pytest.mark.parametrize("mode", MODES)
def test_epoch_left_early_closes_its_file_or_fifo_and_the_next_is_whole(tmp_path, mode):
    with channel_of(tmp_path / "base", mode, [bytes(RECORD_BYTES * 300_000)]) as opened:  # more than a FIFO holds
        for cache_bytes in (0, 1 << 30):
            data = Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=64, window=10, cache_bytes=cache_bytes)
            name = f"train_{opened.opened}" if mode == PIPE else "part-000"
            epoch = data.epoch(0)
            next(epoch)
            assert name in open_descriptors(tmp_path)
            epoch.close()
            assert name not in open_descriptors(tmp_path)
            for _ in data.epoch(1):
                break
            assert len(rows_of(data.epoch(2))) == 300_000
    assert open_descriptors(tmp_path) == []


@pytest.mark.parametrize("mode", MODES)
def test_error_in_an_epoch_closes_its_file_or_fifo(tmp_path, mode):
    content = encoded(drawn(), "tfrecord", 1)[0]
    with channel_of(tmp_path / "base", mode, [content[:-3]]) as opened:
        with pytest.raises(TruncatedRecordError, match="'train', epoch 0 ended inside record 2499: 3 bytes missing"):
            list(Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=64).epoch(0))
        assert "train_0" not in open_descriptors(tmp_path)
    assert open_descriptors(tmp_path) == []


def test_cifar10_gives_the_same_batches_in_its_own_form_and_in_either_framing(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "BLOCK_BYTES", 100 * cifar10.RECORD_BYTES)
    block = drawn(333, cifar10.RECORD_BYTES)
    block[:, 0] %= 10
    examples = io.BytesIO()
    for record in block:
        tfrecord.write(examples, cifar10.to_example(record))
    contents = {
        "fixed": encoded(block, "fixed"),
        "tfrecord": [examples.getvalue()],
        "recordio": encoded(block, "recordio", 2),
    }
    found = []
    for framing, objects in contents.items():
        for asked in ("auto", framing):
            with channel_of(tmp_path / f"{framing}-{asked}", FILE, objects) as opened:
                data = Dataset(channel=opened, record_bytes=cifar10.RECORD_BYTES, batch_size=32, window=50,
                               framing=asked, decode=cifar10.rows)  # fmt: skip
                found.append(list(data.epoch(0)))
    for batches in found[1:]:
        assert all(np.array_equal(*pair) for pair in zip(found[0], batches, strict=True))
    assert np.array_equal(ordered(rows_of(found[0])), ordered(block))


@pytest.mark.parametrize("framing", ["tfrecord", "recordio"])
def test_record_of_another_length_is_told_with_its_index(tmp_path, framing):
    objects = [*encoded(drawn(), framing), *encoded(drawn(1, 9), framing, 1)]
    with (
        channel_of(tmp_path / "base", FILE, objects) as opened,
        pytest.raises(RecordError, match=rf"epoch 0: record 2500 \({framing}\) has 9 bytes, but 7 are expected"),
    ):
        list(Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=64).epoch(0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("framing", ["auto", *FRAMINGS])
def test_channel_without_a_record_is_told(tmp_path, mode, framing):
    with channel_of(tmp_path / "base", mode, [b"", b""]) as opened:
        data = Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=64, framing=framing)
        with pytest.raises(ChannelError, match="'train', epoch 0 delivered no record: the channel is empty"):
            list(data.epoch(0))


def test_last_batch_is_left_out_where_that_is_asked_for(tmp_path):
    batches = read(tmp_path / "base", FILE, "fixed", 1, drop_remainder=True)[0]
    assert [len(batch) for batch in batches] == [64] * 39


def test_three_lines_read_a_channel_of_the_job(tmp_path, monkeypatch):
    paths = Paths(tmp_path / "ml")
    with channel_of(paths.base, FILE, encoded(drawn(), "tfrecord")):
        paths.config.mkdir()
        paths.input_data_config.write_text(json.dumps({"train": {"TrainingInputMode": FILE}}))
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(paths.base))
        train = dataset.connect("train", record_bytes=RECORD_BYTES, batch_size=100, window=10)
        assert np.array_equal(ordered(rows_of(train.epoch(0))), ordered(drawn()))


def test_reading_leaves_no_thread_behind(tmp_path):
    before = threading.active_count()
    read(tmp_path / "base", FILE, "fixed")
    with channel_of(tmp_path / "pipe", PIPE, encoded(drawn(), "fixed")) as opened:
        feeding = threading.active_count()
        for _ in range(3):
            list(Dataset(channel=opened, record_bytes=RECORD_BYTES, batch_size=64).epoch(0))
        assert threading.active_count() <= feeding + 1
    assert threading.active_count() <= before + 1, "the feeder's own"
