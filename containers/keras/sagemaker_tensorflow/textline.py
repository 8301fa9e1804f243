"""Lines of text from a stream of bytes."""

from collections.abc import Iterator

from trainjob.errors import RecordError
from trainjob.framing import detection
from trainjob.framing.fixed import ByteStream
from trainjob.framing.records import BUFFER_BYTES, MAX_RECORD_BYTES, too_long


def lines(stream: ByteStream, name: str = "stream", limit: int = MAX_RECORD_BYTES) -> Iterator[list[bytes]]:
    r"""Lines without their `\n`, many at a time; one that the end of the stream cuts off counts, if it is not empty.

    Raises:
        RecordError: The stream is in a binary framing, or a line is longer than `limit` bytes.
    """
    framing, peeked = detection.detect(stream, name=name)
    if framing != detection.FIXED:
        raise RecordError(
            f"{name} is to be read as TextLine, but its first bytes ({peeked.head.hex()}) "  # type: ignore[attr-defined]
            f"are a {framing} header; set record_format to match."
        )
    buffer, rest, count = memoryview(bytearray(BUFFER_BYTES)), b"", 0
    while filled := peeked.readinto(buffer):
        *whole, rest = (rest + bytes(buffer[:filled])).split(b"\n")
        if len(rest) > limit:
            raise too_long(name, count + len(whole), len(rest), limit)
        if whole:
            count += len(whole)
            yield whole
    if rest:
        yield [rest]
