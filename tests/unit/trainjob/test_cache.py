"""The cache: one epoch streamed, the rest from memory, and never half of one."""

import logging

import numpy as np
import pytest
from trainjob.cache import Cache
from trainjob.contract import FILE, PIPE
from trainjob.dataset import Dataset

from tests.unit.trainjob.channels import channel_of

pytestmark = pytest.mark.timeout(30)

WORDS = np.arange(4000, dtype="<u4").view(np.uint8).reshape(-1, 4)


class Source:
    """Counts how often it is streamed; one buffer for all blocks, which is spoilt afterwards."""

    def __init__(self, blocks: int = 4) -> None:
        self.streams, self._blocks = 0, blocks

    def __call__(self):
        self.streams += 1
        buffer = np.empty((10, 3), np.uint8)
        for index in range(self._blocks):
            buffer[:] = index
            yield buffer
            buffer[:] = 255


def epoch(cache: Cache, source: Source) -> list[list[int]]:
    return [block.ravel().tolist() for block in cache.epoch(source)]


def test_later_epochs_come_from_memory_and_are_the_same():
    cache, source = Cache(120, "it"), Source()
    epochs = [epoch(cache, source) for _ in range(3)]
    assert source.streams == 1
    assert epochs[0] == epochs[1] == epochs[2] == [[index] * 30 for index in range(4)]


def test_kept_blocks_cannot_be_written_to():
    cache, source = Cache(120, "it"), Source()
    epoch(cache, source)
    for block in cache.epoch(source):
        with pytest.raises(ValueError, match="read-only"):
            block[:] = 0


def test_channel_over_the_budget_is_streamed_every_epoch_and_told_once(caplog):
    cache, source = Cache(119, "Channel 'train'"), Source()
    with caplog.at_level(logging.WARNING):
        epochs = [epoch(cache, source) for _ in range(3)]
    assert source.streams == 3
    assert epochs[0] == epochs[2] == [[index] * 30 for index in range(4)]
    assert len(caplog.records) == 1
    assert "Channel 'train' is larger than its cache of 0 MB" in caplog.text
    assert "every epoch is streamed; raise the budget" in caplog.text


def test_epoch_left_early_is_not_taken_for_a_whole_one():
    cache, source = Cache(1000, "it"), Source()
    for _ in cache.epoch(source):
        break
    assert len(epoch(cache, source)) == 4
    assert len(epoch(cache, source)) == 4
    assert source.streams == 2


@pytest.mark.parametrize("mode", [FILE, PIPE])
@pytest.mark.parametrize("budget", [WORDS.nbytes, WORDS.nbytes - 1])
def test_cached_epochs_are_those_that_are_streamed_with_the_same_seed(tmp_path, mode, budget):
    found = {}
    for name, cache_bytes in (("streamed", 0), ("cached", budget)):
        with channel_of(tmp_path / name, mode, [WORDS.tobytes()]) as opened:
            data = Dataset(channel=opened, record_bytes=4, batch_size=100, window=300, cache_bytes=cache_bytes)
            found[name] = [np.concatenate(list(data.epoch(number))) for number in range(4)]
            streams = 1 if cache_bytes == WORDS.nbytes else 4
            assert opened.opened == streams
    assert np.array_equal(found["streamed"], found["cached"])
