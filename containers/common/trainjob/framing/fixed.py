"""Records of one fixed size, back to back."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import TruncatedRecordError


class ByteStream(Protocol):
    """Any source of bytes: a FIFO, a row of files, `io.BytesIO`."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of `buffer`; the number of bytes, 0 only at the end of the stream."""


def blocks(
    stream: ByteStream,
    record_bytes: int,
    records_per_block: int,
    name: str = "stream",
    empty: Callable[[tuple[int, int]], NDArray[np.uint8]] | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Cut a stream into blocks of records.

    Args:
        stream: Where the bytes come from.
        record_bytes: Size of one record.
        records_per_block: Records in every block but the last, which may be shorter.
        name: What the stream is called in an error.
        empty: Makes the array of each block. Without it one buffer is used for all of them: a block is then valid until
            the next is asked for.

    Yields:
        `(n, record_bytes)` uint8.

    Raises:
        TruncatedRecordError: The stream ended inside a record.
    """
    shape = (records_per_block, record_bytes)
    buffer = np.empty(shape, np.uint8) if empty is None else empty(shape)
    offset = 0
    while True:
        view = buffer.reshape(-1).data
        filled = _fill(stream, view)
        offset += filled
        records, rest = divmod(filled, record_bytes)
        if records:
            yield buffer[:records]
        if rest:
            raise TruncatedRecordError(
                f"{name} ended inside a record: {offset} bytes are {offset // record_bytes} records of {record_bytes} "
                f"bytes and {rest} more, {record_bytes - rest} bytes missing at byte offset {offset}; either an object "
                f"was cut off when it was written, or its records are not {record_bytes} bytes long."
            )
        if filled < len(view):
            return
        if empty is not None:
            buffer = empty(shape)


def _fill(stream: ByteStream, view: memoryview) -> int:
    """Read until `view` is full or the stream ends; the number of bytes read."""
    filled = 0
    while filled < len(view):
        count = stream.readinto(view[filled:])
        if count == 0:
            break
        filled += count
    return filled
