"""Inflates gzip while it is read, and measures a stream whose length nobody knows. Standard library only."""

import gzip
import io
import tempfile
import zlib
from pathlib import Path
from typing import Any

from local_mode.channels.objects import ObjectError, Readable

SPOOLED_BYTES = 32 << 20
"""Held in memory; what is longer goes to a file that has no name."""
_CHUNK_BYTES = 1 << 20


class Inflated:
    """What a gzip stream holds. Members one after another are one stream; nothing at all is an empty one."""

    def __init__(self, stream: Readable, name: str) -> None:
        """`name` is what errors call the object."""
        self._name = name
        self._gzip = gzip.GzipFile(mode="rb", fileobj=io.BufferedReader(_Raw(stream), _CHUNK_BYTES))

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end only.

        Raises:
            ObjectError: it is not gzip, is damaged, or ends too soon.
        """
        try:
            return self._gzip.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ObjectError(
                f"{self._name} cannot be inflated: {error}; CompressionType is Gzip: every object must be whole gzip."
            ) from None

    def close(self) -> None:
        """Nothing of its own to close: whoever opened the stream does."""


def measured(stream: Readable, folder: Path) -> tuple[io.BytesIO | io.FileIO, int]:
    """The rest of a stream from its start, and its length; `folder` is for a file without a name, if it is long.

    Raises:
        ObjectError: the stream cannot be read on.
        OSError: the file cannot be written.
    """
    spool: io.BytesIO | io.FileIO = io.BytesIO()
    while chunk := stream.read(_CHUNK_BYTES):
        if isinstance(spool, io.BytesIO) and spool.tell() + len(chunk) > SPOOLED_BYTES:
            held = spool.getbuffer()
            spool = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  the caller closes it
            _write(spool, held)
            held.release()
        _write(spool, chunk)
    size = spool.tell()
    spool.seek(0)
    return spool, size


class _Raw(io.RawIOBase):
    """A stream as Python's buffers want it: gzip asks for a few kilobytes at a time."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


def _write(file: io.BytesIO | io.FileIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
