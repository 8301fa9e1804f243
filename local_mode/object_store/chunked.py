"""Bodies in AWS's own chunks (aws-chunked): signed or not, with trailing headers or without."""

from collections.abc import Iterator
from typing import Protocol

CODING = "aws-chunked"
_CHUNK = 1 << 20
_LINE = 8 << 10


class Source(Protocol):
    """What chunks are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""

    def readline(self, limit: int = -1, /) -> bytes:
        """One line, at most `limit` bytes of it."""


class MalformedError(ValueError):
    """The body is not in chunks, or ends inside one."""


class Chunks:
    """The bytes inside the chunks; afterwards `trailers` has the headers that followed them, names in lower case."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.trailers: dict[str, str] = {}

    def __iter__(self) -> Iterator[bytes]:
        while size := self._size():
            while size:
                data = self._source.read(min(size, _CHUNK))
                if not data:
                    raise MalformedError(f"The body ended {size} bytes before the end of a chunk.")
                size -= len(data)
                yield data
            if self._source.readline(_LINE).strip():
                raise MalformedError("A chunk is longer than it says.")
        while line := self._source.readline(_LINE).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()

    def _size(self) -> int:
        line = self._source.readline(_LINE)
        number = line.partition(b";")[0].strip()
        try:
            size = int(number, 16)
        except ValueError:
            raise MalformedError(f"{line[:40]!r} is not the size of a chunk.") from None
        if size < 0:
            raise MalformedError(f"{line[:40]!r} is not the size of a chunk.")
        return size
