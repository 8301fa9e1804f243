"""Output of several processes in one stream, each line whole.

An unbuffered print() writes a line and its end apart, so another process's line can come between: a metric's
expression then matches neither.
"""

import os
import threading
import time
from contextlib import suppress
from typing import IO

from trainjob.launching.stderr_tee import DRAIN_SECONDS, write_all

LINE_BYTES = 64 << 10
"""What is longer than that and still no line is passed on as it is."""
_ENDS = b"\n", b"\r"
"""The second ends the lines of progress bars."""


class WholeLines:
    """What its sources write, line by line, into one stream; each is read in a thread of its own."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def follow(self, source: IO[bytes] | None) -> None:
        """Pass on what this pipe holds, to its end."""
        if source is None:
            raise ValueError("the process must be started with a pipe")
        thread = threading.Thread(target=self._pump, args=(source,), name="lines", daemon=True)
        thread.start()
        self._threads.append(thread)

    def drain(self) -> None:
        """Wait for the sources' ends; a process that was left behind can hold one open for ever, so 2 s at most."""
        deadline = time.monotonic() + DRAIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _pump(self, source: IO[bytes]) -> None:
        rest = b""
        with source:
            while block := os.read(source.fileno(), LINE_BYTES):
                rest += block
                end = 1 + max(map(rest.rfind, _ENDS))
                if end == 0 and len(rest) >= LINE_BYTES:
                    end = len(rest)
                self._pass_on(rest[:end])
                rest = rest[end:]
        if rest:
            self._pass_on(rest + b"\n")

    def _pass_on(self, lines: bytes) -> None:
        with self._lock, suppress(OSError):  # nobody listens any more: the process must not block for that
            write_all(self._stream, lines)
