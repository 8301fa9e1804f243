"""A child's stderr, passed through as it comes, byte for byte, while its end is kept for the failure file."""

import os
import select
import threading
from contextlib import suppress
from types import TracebackType
from typing import IO

TAIL_BYTES = 64 << 10
"""How much of the end is kept."""
DRAIN_SECONDS = 2.0
"""How long after the child's end its stderr may stay open; a process it left behind can hold it for ever."""
_STDERR = 2


class StderrTee:
    """Reads in a thread of its own from `with` to its end. It buffers nothing: a line appears when it is written."""

    def __init__(self, source: IO[bytes] | None) -> None:
        if source is None:
            raise ValueError("the child must be started with stderr=PIPE")
        self._source = source
        self._tail = b""
        self._thread = threading.Thread(target=self._pump, name="stderr", daemon=True)

    @property
    def tail(self) -> str:
        """The last 64 KiB, or less, as text; bytes that are not UTF-8 are replaced."""
        return self._tail.decode(errors="replace")

    def __enter__(self) -> "StderrTee":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.join(DRAIN_SECONDS)

    def _pump(self) -> None:
        with self._source:
            while block := os.read(self._source.fileno(), TAIL_BYTES):
                # Replaced in one step: `tail` may be read while a left-over process still writes.
                self._tail = (self._tail + block)[-TAIL_BYTES:]
                with suppress(OSError):  # nobody listens any more: the child must not block for that
                    write_all(_STDERR, block)


def write_all(stream: int, block: bytes | memoryview) -> None:
    """Write to a descriptor, all of it.

    Raises:
        OSError: It cannot be written to.
    """
    rest = memoryview(block)
    while rest:
        try:
            rest = rest[os.write(stream, rest) :]
        except BlockingIOError:  # a terminal or pipe that somebody made non-blocking
            select.select([], [stream], [])
