"""Reads objects one after the other, while what comes next is fetched from far stores in parts and in parallel.

Standard library only, the feeder uses it. One connection to an S3 carries about 80 MB/s, and one small object costs a
round trip: neither may bound a channel, so parts of this object and of the next ones are under way at once.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import cast

from local_mode.channels.objects import Found, ObjectError, Part, Readable, Remote, Source

PART_BYTES = 8 << 20
"""Asked for at once: large enough for a round trip not to count."""
PROBE_BYTES = 1 << 20
"""Asked of an object whose size nobody told."""
MEMORY_BYTES = 96 << 20
"""Held or under way, for each who reads."""
CONNECTIONS = 16
_OBJECTS = 64
"""Looked ahead at most."""
_PATIENCE_SECONDS = 900
"""A part that is not there after this never comes: whoever fetches has shorter patience of its own."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An object to be read."""

    source: Source
    key: str
    name: str
    """What errors call it."""
    found: Found | None = None
    """As it was listed, and must be still; None takes it as it is."""


class Opened:
    """An object at its turn."""

    def __init__(self, stream: Readable, size: int) -> None:
        """`size` in bytes, when it was listed or, if it was not, now."""
        self.stream, self.size = stream, size


@dataclass
class _Fetched:
    """A remote object of which parts are under way; a Readable once its turn has come."""

    wanted: Wanted
    source: Remote
    ahead: "Ahead"
    found: Found | None
    asked: int = 0
    """Bytes from the start that were asked for."""
    taken: int = 0
    parts: deque[tuple[Future[Part], int]] = field(default_factory=deque)
    _view: memoryview = field(default_factory=lambda: memoryview(b""))
    _held: int = 0

    def is_unasked(self) -> bool:
        """Whether a part can be asked for now; of an object of unknown size only the first, until that is there."""
        if self.found is None and self.parts and self.parts[0][0].done() and not self.parts[0][0].exception():
            self.found = self.parts[0][0].result().found
        return self.asked == 0 if self.found is None else self.asked < self.found.size

    def next_length(self) -> int:
        return PROBE_BYTES if self.found is None else min(PART_BYTES, self.found.size - self.asked)

    def size(self) -> int:
        """Bytes of the object; waits for its first part if nobody told."""
        if self.found is None:
            if not self.parts:
                self.ahead.ask(self)
            self.found = self._result(self.parts[0][0]).found
        return self.found.size

    def read(self, size: int, /) -> memoryview:
        """At most `size` bytes, where they arrived; none at the end only."""
        if not self._view and self.taken < self.size():
            self._take()
        chunk = self._view[:size]
        self._view = self._view[size:]
        return chunk

    def _take(self) -> None:
        self._release()
        if not self.parts:
            self.ahead.ask(self)  # others have all the memory: this one is waited for
        future, self._held = self.parts.popleft()
        self._view = memoryview(self._result(future).data)
        self.taken += len(self._view)
        if not self._view:
            raise ObjectError(f"{self.wanted.name} ended after {self.taken} bytes; it has {self.size()}")
        self.ahead.fill()

    def _result(self, future: Future[Part]) -> Part:
        try:
            return future.result(_PATIENCE_SECONDS)
        except TimeoutError:
            raise ObjectError(f"{self.wanted.name} did not answer for {_PATIENCE_SECONDS} s") from None

    def _release(self) -> None:
        self.ahead.give_back(self._held)
        self._held = 0

    def close(self) -> None:
        """Give up what is under way."""
        self._view = memoryview(b"")
        self._release()
        while self.parts:
            future, length = self.parts.popleft()
            future.cancel()
            self.ahead.give_back(length)


class Ahead:
    """Opens objects in their order. One thread reads; what is ahead is fetched by others. `close` it, or use `with`."""

    def __init__(self, coming: Iterable[Wanted | bytes], pool: ThreadPoolExecutor, memory: int = MEMORY_BYTES) -> None:
        """`coming` may be endless and may raise: that is raised at its turn. Bytes among it are handed through."""
        self._coming, self._pool, self._free = iter(coming), pool, memory
        self._queue: deque[_Fetched | Wanted | bytes | Exception] = deque()
        self._fetched: deque[_Fetched] = deque()  # those of the queue: `fill` looks through them for every record
        self._is_over = False
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Wanted | bytes]:
        """What is next; `opened` reads it, before the one after it is asked for."""
        while True:
            self.fill()
            if not self._queue:
                return
            item = self._queue[0]
            if isinstance(item, Exception):
                raise item
            if isinstance(item, _Fetched):
                with closing(item):
                    yield item.wanted
                self._fetched.popleft()
            else:
                yield item
            self._queue.popleft()

    def opened(self) -> Opened:
        """The object whose turn it is; whoever gets it closes its stream.

        Raises:
            ObjectError: it is gone, or is another one than was listed.
            OSError: it cannot be read.
        """
        item = self._queue[0]
        if isinstance(item, _Fetched):
            return Opened(item, item.size())
        if not isinstance(item, Wanted):
            raise TypeError(f"no object is next, but {type(item)}")
        found = item.found or item.source.one(item.key)
        return Opened(item.source.read(item.key), found.size)

    def fill(self) -> None:
        """Ask for parts until the memory is spoken for; first objects first."""
        while self._free > 0:
            item = next((item for item in self._fetched if item.is_unasked()), None)
            if item is not None:
                self.ask(item)
            elif self._is_over or len(self._queue) >= _OBJECTS:
                return
            else:
                self._look_on()

    def ask(self, item: _Fetched) -> None:
        """Have the next part of an object fetched."""
        length, wanted = item.next_length(), item.found or Found(item.wanted.key, 0)
        self._free -= length
        item.parts.append((self._pool.submit(item.source.fetch, wanted, item.asked, length, self._stop), length))
        item.asked += length

    def give_back(self, length: int) -> None:
        """Room for so many bytes more."""
        self._free += length

    def close(self) -> None:
        """Nothing more is wanted."""
        self._stop.set()
        for item in self._fetched:
            item.close()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _look_on(self) -> None:
        try:
            item = next(self._coming)
        except StopIteration:
            self._is_over = True
        except Exception as error:  # noqa: BLE001  what comes before it is read first; then it is raised
            self._queue.append(error)
            self._is_over = True
        else:
            if isinstance(item, Wanted) and _is_remote(type(item.source)):
                fetched = _Fetched(item, cast(Remote, item.source), self, item.found)
                self._fetched.append(fetched)
                self._queue.append(fetched)
            else:
                self._queue.append(item)


@cache
def _is_remote(kind: type[Source]) -> bool:
    """Whether that is a store far away: to ask a protocol takes as long as to open a file."""
    return issubclass(kind, Remote)
