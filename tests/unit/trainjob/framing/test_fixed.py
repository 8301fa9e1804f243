"""Fixed-size framing over any byte source, against slicing the bytes themselves."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainjob.errors import TruncatedRecordError
from trainjob.framing import fixed


class Dribble:
    """A stream that gives as many bytes at a time as it is told, as a FIFO does."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._stream, self._sizes = io.BytesIO(content), sizes

    def readinto(self, buffer: memoryview, /) -> int:
        size = self._sizes.pop() if self._sizes else len(buffer)
        return self._stream.readinto(buffer[:size])


@given(
    records=st.integers(0, 40),
    record_bytes=st.integers(1, 9),
    per_block=st.integers(1, 7),
    sizes=st.lists(st.integers(1, 50), max_size=60),
)
def test_blocks_joined_are_the_stream_however_it_dribbles(records, record_bytes, per_block, sizes):
    content = bytes(index % 251 for index in range(records * record_bytes))
    blocks = [block.copy() for block in fixed.blocks(Dribble(content, sizes), record_bytes, per_block)]
    assert b"".join(block.tobytes() for block in blocks) == content
    assert all(len(block) == per_block for block in blocks[:-1])
    assert all(block.shape[1] == record_bytes for block in blocks)


def test_stream_that_ends_at_once_gives_no_block():
    assert list(fixed.blocks(io.BytesIO(b""), 4, 2)) == []


@given(cut=st.integers(1, 9), whole=st.integers(0, 5))
def test_cut_off_record_is_told_with_offset_and_missing_bytes(cut, whole):
    stream = io.BytesIO(b"x" * (whole * 10 + cut))
    seen = 0
    with pytest.raises(
        TruncatedRecordError, match=rf"epoch 3 .* {10 - cut} bytes missing at byte offset {whole * 10 + cut}"
    ):
        for block in fixed.blocks(stream, 10, 2, "Channel 'train', epoch 3"):
            seen += len(block)
    assert seen == whole, "whole records before the cut are delivered"


def test_blocks_reuse_one_buffer():
    blocks = fixed.blocks(io.BytesIO(bytes(range(12))), 2, 3)
    first = next(blocks)
    assert np.shares_memory(first, next(blocks))


def test_blocks_of_their_own_memory_are_not_overwritten():
    blocks = list(fixed.blocks(io.BytesIO(bytes(range(14))), 2, 3, empty=lambda shape: np.empty(shape, np.uint8)))
    assert np.concatenate(blocks).ravel().tolist() == list(range(14))
    assert [len(block) for block in blocks] == [3, 3, 1]
