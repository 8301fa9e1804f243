"""A request's body: in memory while it is small, else a file that can become a piece of an object as it is."""

import hashlib
import io
from pathlib import Path
from types import TracebackType
from typing import IO

from local_mode.object_store.checksums import Md5
from local_mode.object_store.pieces import Folder, Piece

_IN_MEMORY = 1 << 20


class Body:
    """Bytes written once, then read from the beginning; `close` removes them unless they were kept."""

    def __init__(self, folder: Folder, *, tagged: bool = False) -> None:
        """`tagged` bodies may become objects: their MD5 is wanted, too."""
        self._folder = folder
        self._file: IO[bytes] = io.BytesIO()
        self._path: Path | None = None
        self._sha256 = hashlib.sha256()
        self._md5 = Md5() if tagged else None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError: they cannot be written; its file is the one that would have them.
        """
        self.size += len(chunk)
        self._sha256.update(chunk)
        if self._md5:
            self._md5.update(chunk)
        if self._path is None and self.size > _IN_MEMORY:
            self._move(self._folder.new())
        try:
            self._file.write(chunk)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def rewind(self) -> None:
        """Read from the beginning next."""
        self._file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; all that is left when it is negative."""
        return self._file.read(size)

    def readline(self, limit: int = -1) -> bytes:
        """Bytes to the next end of a line, and with it."""
        return self._file.readline(limit)

    def keep(self) -> Piece:
        """All the bytes as a piece, which is no longer the body's to remove, or to read.

        Raises:
            OSError: it cannot be written.
        """
        if self._path is None:
            self._move(self._folder.new())
        self._file.close()
        piece = Piece(name=self._kept().name, size=self.size)
        self._path = None
        return piece

    def close(self) -> None:
        """Remove the bytes."""
        self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    @property
    def sha256(self) -> str:
        """In hex."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """In hex; empty for a body that is not tagged."""
        return self._md5.digest().hex() if self._md5 else ""

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _kept(self) -> Path:
        if self._path is None:
            raise RuntimeError("move the bytes to a file first")
        return self._path

    def _move(self, path: Path) -> None:
        file = path.open("x+b")
        self._path = path
        held, self._file = self._file, file
        held.seek(0)
        file.write(held.read())
        held.close()
