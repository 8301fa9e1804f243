"""Brings bytes to where they go: objects by the kernel or in large pieces, small pieces many at a time.

Standard library and trainjob.contract only, the feeder uses it.
"""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

from trainjob import contract

from local_mode.channels.objects import Readable

PIPE_BYTES = 1 << 20
"""Asked of the kernel for each FIFO; its default, 64 KiB, streams at a quarter of the speed."""
_GATHERED_BYTES = 1 << 16
_SENDFILE_BYTES = 1 << 24
_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def fifo(folder: Path, channel: str, epoch: int) -> Path:
    """Where the FIFO of an epoch lies in a folder of them."""
    return folder / contract.Paths().fifo(channel, epoch).name


def make_fifo(path: Path) -> None:
    """Make a FIFO for whoever wants to read it, which may be another user; one that is there already will do.

    Raises:
        OSError: it cannot be made.
    """
    try:
        os.mkfifo(path)
    except FileExistsError:
        if not path.is_fifo():
            raise
    path.chmod(0o666)


class Outlet:
    """The writing end of a FIFO or file; whoever opened it closes it. Without a reader, BrokenPipeError."""

    def __init__(self, fd: int, sent: Callable[[int], None]) -> None:
        """`sent` is told the number of bytes of every piece that the FIFO took."""
        self._fd, self._sent = fd, sent
        self._gathered = bytearray()

    def put(self, data: bytes) -> None:
        """Send a small piece, together with those that follow."""
        self._gathered += data
        if len(self._gathered) >= _GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was put."""
        data, self._gathered = self._gathered, bytearray()
        self._write(data)

    def send(self, stream: Readable, limit: int | None = None) -> int:
        """Send the rest of a stream, `limit` bytes at most; how many there were.

        Raises:
            OSError: the stream cannot be read.
        """
        self.flush()
        file = stream.fileno() if isinstance(stream, io.FileIO) else None
        done = 0
        while limit is None or done < limit:
            rest = _SENDFILE_BYTES if limit is None else min(limit - done, _SENDFILE_BYTES)
            try:
                count = self._by_copy(stream, rest) if file is None else self._by_kernel(file, rest)
            except OSError as error:
                if file is None or error.errno not in _NO_SENDFILE:
                    raise
                file = None  # the file's offset has not moved past what sendfile sent
                continue
            if count == 0:
                break
            done += count
        return done

    def _by_kernel(self, file: int, most: int) -> int:
        count = os.sendfile(self._fd, file, None, most)  # None: from the file's offset, which it moves
        self._sent(count)
        return count

    def _by_copy(self, stream: Readable, most: int) -> int:
        chunk = stream.read(min(most, PIPE_BYTES))
        self._write(chunk)
        return len(chunk)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._fd, view)
            self._sent(count)
            view = view[count:]
