"""Records as they lie in a buffer: where each begins and how long it is, so that many are handled at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import RecordError

BUFFER_BYTES = 1 << 20
"""What a reader asks of its stream at a time; a larger record gets a buffer of its own size."""
MAX_RECORD_BYTES = 32 << 20
"""The longest record believed: a length field is data, and a wrong one must not take the machine's memory."""


@dataclass(frozen=True, slots=True)
class Records:
    """Some records of a stream. They lie in the reader's buffer: valid until the next ones are asked for."""

    data: NDArray[np.uint8]
    """`(bytes,)`: the buffer."""
    starts: NDArray[np.int64]
    """`(n,)`: where in `data` each begins."""
    lengths: NDArray[np.int64]
    """`(n,)`: bytes of each."""
    first: int
    """Index of the first of them in its stream."""

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The bytes of one record, a view."""
        start = self.starts[index]
        return self.data[start : start + self.lengths[index]]

    def payloads(self) -> NDArray[np.object_]:
        """`(n,)`: each record as bytes of its own."""
        length = int(self.lengths[0]) if len(self) else 0
        if length and (self.lengths == length).all():
            # As numpy's "void" of that length, they are copied without a step of Python for each.
            return self._rows(0, len(self)).view(f"V{length}").ravel().astype(object)
        ends = self.starts + self.lengths
        pieces = map(self.data.data.__getitem__, map(slice, self.starts.tolist(), ends.tolist()))
        return np.array(list(map(bytes, pieces)), object)

    def alike(self) -> Iterator[NDArray[np.uint8]]:
        """All of them, in order, as `(n, length)` uint8: one piece a run of one length, a view if they lie evenly."""
        steps = np.diff(self.lengths) != 0
        bounds = [0, *(np.flatnonzero(steps) + 1).tolist(), len(self)]
        for start, end in pairwise(bounds):
            if start < end:
                yield self._rows(start, end)

    def _rows(self, start: int, end: int) -> NDArray[np.uint8]:
        length = int(self.lengths[start])
        strides = np.diff(self.starts[start:end])
        if len(strides) and (strides != strides[0]).any():
            return np.stack([self[index] for index in range(start, end)])
        stride = int(strides[0]) if len(strides) else length
        # as_strided makes the same view, and takes as long as to check the CRC of a hundred records.
        rows: NDArray[np.uint8] = np.ndarray(
            (end - start, length), np.uint8, self.data.data, int(self.starts[start]), (stride, 1)
        )
        rows.flags.writeable = False
        return rows


def too_long(name: str, record: int, length: int, limit: int) -> RecordError:
    """The error for a length field over the limit."""
    return RecordError(
        f"{name}: record {record} says it is {length} bytes long, over the limit of {limit}; the stream is damaged or "
        "not in this framing, or raise max_record_bytes."
    )
