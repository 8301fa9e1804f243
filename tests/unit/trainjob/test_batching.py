"""The shuffle window and the batches: nothing lost, nothing twice, the same order for the same seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from trainjob import batching


def stream(count: int, per_block: int):
    """Records whose two bytes tell their index, through one buffer that each block overwrites."""
    buffer = np.empty((per_block, 2), np.uint8)
    for first in range(0, count, per_block):
        size = min(per_block, count - first)
        buffer[:size] = np.arange(first, first + size, dtype="<u2").view(np.uint8).reshape(-1, 2)
        yield buffer[:size]
        buffer[:] = 255


def own(count: int, per_block: int):
    return (block.copy() for block in stream(count, per_block))


def indices(blocks) -> list[int]:
    return [int(index) for block in list(blocks) for index in np.ascontiguousarray(block).view("<u2").ravel()]


@given(count=st.integers(0, 300), per_block=st.integers(1, 40), window=st.integers(0, 350), seed=st.integers(0, 5))
def test_shuffling_keeps_every_record_once(count, per_block, window, seed):
    assert sorted(indices(batching.shuffled(own(count, per_block), window, (seed,)))) == list(range(count))


def test_order_follows_the_seed():
    first, again, other = (indices(batching.shuffled(own(500, 32), 100, (7, epoch))) for epoch in (0, 0, 1))
    assert first == again
    assert first != other


def test_window_of_the_whole_set_is_a_full_shuffle():
    order = indices(batching.shuffled(own(1000, 64), 1000, (1,)))
    assert np.corrcoef(order, range(1000))[0, 1] < 0.1


def test_window_of_nothing_keeps_the_order():
    assert indices(batching.shuffled(own(100, 32), 0, (1,))) == list(range(100))


@given(count=st.integers(0, 200), per_block=st.integers(1, 40), size=st.integers(1, 50), drop=st.booleans())
def test_batches_are_the_stream_in_pieces_of_one_size(count, per_block, size, drop):
    batches = list(batching.batches(own(count, per_block), size, drop_remainder=drop))
    expected = list(range(count - count % size if drop else count))
    assert indices(batches) == expected
    assert all(len(batch) == size for batch in batches[:-1])


def test_regrouped_blocks_are_not_overwritten_though_the_parts_are():
    made = list(batching.regrouped(((part,) for part in stream(64, 8)), 5))
    assert [len(block) for block in made] == [5] * 12 + [4]
    assert indices(made) == list(range(64))


def test_regrouped_puts_columns_side_by_side_in_one_copy():
    rows = np.arange(7 * 4, dtype=np.uint8).reshape(7, 4)
    parts = [(rows[start:end, :1], rows[start:end, 1:3], rows[start:end, 3:]) for start, end in ((0, 5), (5, 7))]
    assert np.array_equal(np.concatenate(list(batching.regrouped(parts, 3))), rows)
