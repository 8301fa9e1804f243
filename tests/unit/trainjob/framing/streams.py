"""What the framings' tests share: streams that dribble, and all that a reader gave before it ended or raised."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

from trainjob.errors import RecordError
from trainjob.framing.records import Records


class Dribble:
    """A stream that gives as many bytes at a time as it is told, over and over, as a FIFO does."""

    def __init__(self, content: bytes, sizes: Iterable[int] = ()) -> None:
        self._stream, self._sizes = io.BytesIO(content), list(sizes)
        self.reads = 0

    def readinto(self, buffer: memoryview, /) -> int:
        size = self._sizes[self.reads % len(self._sizes)] if self._sizes else len(buffer)
        self.reads += 1
        return self._stream.readinto(buffer[:size])


@dataclass(frozen=True)
class Outcome:
    """The payloads in order, and what ended them."""

    payloads: list[bytes]
    error: RecordError | None


def outcome(records: Iterable[Records]) -> Outcome:
    """Read to the end or to the first RecordError; any other error is a defect and leaves here."""
    payloads: list[bytes] = []
    try:
        for some in records:
            assert len(some) > 0, "a reader gives no empty lot"
            assert some.first == len(payloads)
            payloads += [some[index].tobytes() for index in range(len(some))]
            alike = [row.tobytes() for rows in some.alike() for row in rows]
            assert alike == payloads[some.first :], "the rows of one length are the same records"
    except RecordError as error:
        return Outcome(payloads, error)
    return Outcome(payloads, None)
