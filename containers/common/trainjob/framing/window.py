"""A window on a stream: the bytes that are read but not yet framed, in one buffer that is used again and again."""

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import TruncatedRecordError
from trainjob.framing.fixed import ByteStream
from trainjob.framing.records import Records

_WORTH_IT = 32
"""Records of one header in a row from which on framing them together beats a loop."""


class Window:
    """Holds consecutive bytes of a stream. `data[position:end]` are those not yet used."""

    def __init__(self, stream: ByteStream, size: int) -> None:
        self._stream = stream
        self.data: NDArray[np.uint8] = np.empty(size, np.uint8)
        self.position = self.end = 0
        self.offset = 0
        """Where in the stream `data[0]` lies."""

    @property
    def available(self) -> int:
        """Bytes read but not used."""
        return self.end - self.position

    @property
    def stream_position(self) -> int:
        """Where in the stream the next byte lies."""
        return self.offset + self.position

    def fill(self, wanted: int) -> bool:
        """Read on until `wanted` bytes are available; False if the stream ends before.

        Where it has to read, it moves what is not used to the front, so views of `data` handed out before are invalid.
        The buffer grows only as bytes really arrive: a length field alone takes no memory.
        """
        if self.available >= wanted:
            return True  # moving the rest once for every few records would cost the square of the buffer
        self._make_room()
        while self.available < wanted:
            if self.end == len(self.data):
                self._grow(wanted)
            count = self._stream.readinto(self.data[self.end :].data)
            if count == 0:
                return False
            self.end += count
        return True

    def take_alike(self, header_bytes: int, length: int, stride: int, first: int) -> Records | None:
        """Use up the records here whose headers equal the next one's, framed without a loop; None if they are few.

        Args:
            header_bytes: Bytes of a header, its length field included.
            length: Payload bytes that the next header tells.
            stride: Bytes from one record of this length to the next.
            first: Index of the next record in its stream.
        """
        fitting = self.available // stride
        if fitting < _WORTH_IT:
            return None
        begin = self.position
        table = self.data[begin : begin + fitting * stride].reshape(fitting, stride)
        run = _leading(table[:, :header_bytes])
        if run < _WORTH_IT:
            return None
        self.position += run * stride
        starts = np.arange(run, dtype=np.int64) * stride + (begin + header_bytes)
        return Records(self.data, starts, np.full(run, length, np.int64), first)

    def cut_off(self, name: str, record: int, wanted: int) -> TruncatedRecordError:
        """The error for a stream that ended where `wanted` bytes were due."""
        return TruncatedRecordError(
            f"{name} ended inside record {record}: {wanted - self.available} bytes missing at byte offset "
            f"{self.stream_position + self.available}; an object was cut off when it was written or sent."
        )

    def _make_room(self) -> None:
        rest = self.available
        if self.position:
            # Overlapping moves are fine: numpy copies as if through a temporary.
            self.data[:rest] = self.data[self.position : self.end]
            self.offset += self.position
            self.position, self.end = 0, rest

    def _grow(self, wanted: int) -> None:
        larger = np.empty(min(wanted, 2 * len(self.data)), np.uint8)
        larger[: self.end] = self.data[: self.end]
        self.data = larger


def _leading(headers: NDArray[np.uint8]) -> int:
    """How many rows from the first on equal it; looks at no more than four times as many."""
    run, looked_at = 0, _WORTH_IT
    while run < len(headers):
        differing = headers[run : run + looked_at] != headers[0]
        if differing.any():  # over all at once first: row by row takes several times as long
            return run + int(differing.any(axis=1).argmax())
        run, looked_at = run + len(differing), 4 * looked_at
    return run
