"""A remote object as a file that is fetched part by part when it is read. Standard library only."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from local_mode.channels.ahead import PART_BYTES
from local_mode.channels.objects import Found, Remote

_PARTS_AHEAD = 3
"""Asked for beside what a sequential reader needs; with the one that is read, 32 MiB are under way."""
_PATIENCE_SECONDS = 900
"""Whoever fetches has shorter patience of its own."""


class LazyFile:
    """One object, nothing of it fetched yet. Safe to read from several threads."""

    def __init__(self, source: Remote, found: Found, copy: Path, pool: ThreadPoolExecutor) -> None:
        """What is fetched is kept in `copy`, a file that is not there yet."""
        self._source, self._found, self._copy, self._pool = source, found, copy, pool
        self._parts: dict[int, Future[None]] = {}
        self._lock = threading.Lock()
        self._last = -1

    def read(self, size: int, offset: int) -> bytes:
        """Bytes from `offset` on: `size` of them, fewer at the end only.

        Raises:
            ObjectError: the object is gone, is another one than was listed, or cannot be read.
            OSError: there is no room for it.
        """
        end = min(offset + size, self._found.size)
        if offset >= end:
            return b""
        first, last = offset // PART_BYTES, (end - 1) // PART_BYTES
        needed = [self._wanted(number) for number in range(first, last + 1)]
        if first in (self._last, self._last + 1):
            for number in range(last + 1, min(last + _PARTS_AHEAD, (self._found.size - 1) // PART_BYTES) + 1):
                self._wanted(number)
        self._last = last
        for part in needed:
            part.result(_PATIENCE_SECONDS)
        file = os.open(self._copy, os.O_RDONLY)
        try:
            return os.pread(file, end - offset, offset)
        finally:
            os.close(file)

    def _wanted(self, number: int) -> Future[None]:
        with self._lock:
            part = self._parts.get(number)
            if part is None or (part.done() and part.exception()):
                part = self._parts[number] = self._pool.submit(self._fetch, number)
            return part

    def _fetch(self, number: int) -> None:
        start = number * PART_BYTES
        length = min(PART_BYTES, self._found.size - start)
        view = memoryview(self._source.fetch(self._found, start, length, threading.Event()).data)
        file = os.open(self._copy, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while view:
                count = os.pwrite(file, view, start)
                view, start = view[count:], start + count
        finally:
            os.close(file)
