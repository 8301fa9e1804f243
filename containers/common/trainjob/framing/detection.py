"""Which framing a stream is in, told from its first bytes."""

from trainjob.errors import RecordError
from trainjob.framing import recordio, tfrecord
from trainjob.framing.fixed import ByteStream

AUTO, FIXED, TFRECORD, RECORDIO = "auto", "fixed", "tfrecord", "recordio"
HEAD_BYTES = tfrecord.HEADER_BYTES


class Peeked:
    """A stream whose first bytes were looked at and are given again."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        head = bytearray(HEAD_BYTES)
        filled = 0
        while filled < HEAD_BYTES and (count := stream.readinto(memoryview(head)[filled:])):
            filled += count
        self.head = bytes(head[:filled])
        self._again = self.head

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of `buffer`; the number of bytes, 0 only at the end."""
        if not self._again:
            return self._stream.readinto(buffer)
        count = min(len(buffer), len(self._again))
        buffer[:count] = self._again[:count]
        self._again = self._again[count:]
        return count


def detect(stream: ByteStream, asked: str = AUTO, name: str = "stream") -> tuple[str, ByteStream]:
    """The framing of a stream, and the stream to read in its place.

    Args:
        stream: Its first 12 bytes are read.
        asked: A framing the caller insists on, or `auto`. Fixed-size records bear no mark: what is neither of the
            others is taken for them.
        name: What the stream is called in an error.

    Raises:
        RecordError: The stream is plainly in another framing than the one asked for.
    """
    peeked = Peeked(stream)
    seen = FIXED
    if tfrecord.looks_like(peeked.head):
        seen = TFRECORD
    elif recordio.looks_like(peeked.head):
        seen = RECORDIO
    # An empty stream is an empty shard in any framing.
    if asked not in (AUTO, seen) and peeked.head:
        found = "no header of that framing" if seen == FIXED else f"a {seen} header"
        raise RecordError(
            f"{name} is to be read as {asked}, but its first bytes ({peeked.head.hex()}) are {found}; "
            f"set the framing to {seen} or auto."
        )
    return seen if asked == AUTO else asked, peeked
