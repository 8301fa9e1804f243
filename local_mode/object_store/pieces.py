"""The bytes of objects: files under random names, never under a key, written once and read in chunks."""

import os
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_mode.errors import LocalModeError

CHUNK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A file with bytes of an object; an object that came in parts has several."""

    name: str
    size: int
    """Bytes."""


class Folder:
    """All pieces. Nobody finds one until an index names it, so a half-written one is never seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._read: Counter[str] = Counter()
        self._doomed: set[str] = set()

    def new(self) -> Path:
        """The path of a piece that is not there yet."""
        return self.path / uuid.uuid4().hex

    def write(self, chunks: Iterable[bytes], seen: Callable[[bytes], None] = lambda chunk: None) -> Piece:
        """A piece with these bytes, each chunk of which `seen` is told.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        path, size = self.new(), 0
        try:
            with path.open("xb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    seen(chunk)
                    file.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Piece(name=path.name, size=size)

    def link(self, pieces: Iterable[Piece]) -> tuple[Piece, ...]:
        """The same bytes under names of their own, without copying them."""
        made = []
        for piece in pieces:
            path = self.new()
            os.link(self.path / piece.name, path)
            made.append(Piece(name=path.name, size=piece.size))
        return tuple(made)

    def remove(self, names: Iterable[str]) -> None:
        """Remove pieces; those that are being read, when that is over."""
        with self._lock:
            for name in names:
                if self._read[name]:
                    self._doomed.add(name)
                else:
                    (self.path / name).unlink(missing_ok=True)

    def sweep(self, known: set[str]) -> None:
        """Remove what a killed process left: all that no index names."""
        for entry in os.scandir(self.path):
            if entry.name not in known:
                Path(entry.path).unlink()

    def hold(self, names: Iterable[str]) -> None:
        """Keep pieces from being removed until `release`."""
        with self._lock:
            self._read.update(names)

    def release(self, names: Iterable[str]) -> None:
        """The end of `hold`."""
        with self._lock:
            for name in names:
                self._read[name] -= 1
                if self._read[name] <= 0:
                    del self._read[name]
                    if name in self._doomed:
                        self._doomed.discard(name)
                        (self.path / name).unlink(missing_ok=True)


class Reader:
    """`length` bytes of an object from `start` on, in chunks; `close` must follow."""

    def __init__(self, folder: Folder, pieces: Sequence[Piece], start: int = 0, length: int | None = None) -> None:
        self._folder, self._pieces, self._start = folder, tuple(pieces), start
        self._left = sum(piece.size for piece in pieces) - start if length is None else length
        self._names = [piece.name for piece in pieces]
        folder.hold(self._names)
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        begin = 0
        for piece in self._pieces:
            end = begin + piece.size
            if self._left > 0 and self._start < end:
                yield from self._of(piece, self._start - begin)
            begin = end

    def close(self) -> None:
        """Let the pieces go."""
        if self._open:
            self._open = False
            self._folder.release(self._names)

    def _of(self, piece: Piece, offset: int) -> Iterator[bytes]:
        path = self._folder.path / piece.name
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            left = min(self._left, piece.size - offset)
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    text = f"{path} ends {left} bytes early: it was cut after it was stored; put the object again."
                    raise LocalModeError(text)
                left -= len(chunk)
                self._left -= len(chunk)
                self._start += len(chunk)
                yield chunk
