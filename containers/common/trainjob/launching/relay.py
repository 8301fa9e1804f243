"""Signals of the container's first process, handed on to its child; only that process gets the platform's SIGTERM."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from trainjob.contract import STOP_GRACE_SECONDS
from trainjob.launching.child import Child
from trainjob.stop import StopRequested

CHILD_SECONDS = float(STOP_GRACE_SECONDS - 10)
"""Seconds from a forwarded SIGTERM to the child's SIGKILL; the rest is for the failure file."""
_LOOK_SECONDS = 0.2


class Relay:
    """Hands SIGTERM and SIGINT on to a child, those too that came before there was one. It listens from its making on.

    After SIGTERM the child has CHILD_SECONDS; then it is killed. SIGALRM belongs to that deadline.
    """

    def __init__(self) -> None:
        self.killed = False
        """Whether the child had to be killed because it did not stop in time."""
        self.lost: str | None = None
        """Why the child cannot go on, and was ended, though it did nothing wrong."""
        self.early: list[int] = []
        """Signals that came before there was a child, in order."""
        self._child: Child | None = None
        self._interruptible = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_deadline)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While this lasts a signal ends the work with StopRequested: before the program runs nothing can be lost."""
        self._interruptible = True
        try:
            if self.early:
                raise StopRequested
            yield
        finally:
            self._interruptible = False

    def watch(self, child: Child) -> None:
        """Hand signals on to this child from now on."""
        self._child = child
        # A signal between these lines goes to the child at once, one before them waits in the list: none is lost.
        while self.early:
            self._forward(self.early.pop(0))
        if self.lost:
            self.abandon(self.lost)

    def wait(self, child: Child) -> int:
        """The exit code of the child that is watched; signals go on to it meanwhile."""
        # In a thread, with this one awake now and then: where a signal falls between Python's last look and a system
        # call, the call does not end, and the handler would run after the child's end only.
        codes: list[int] = []
        waiting = threading.Thread(target=lambda: codes.append(child.wait()), name="wait", daemon=True)
        waiting.start()
        while waiting.is_alive():
            waiting.join(_LOOK_SECONDS)
        return codes[0]

    def abandon(self, why: str) -> None:
        """End a child that cannot go on; one that stops already keeps its time. Called from any thread."""
        self.lost = why
        if not self._stopping:
            self._send(signal.SIGKILL)

    @property
    def _stopping(self) -> bool:
        return signal.SIGTERM in self.early or bool(signal.getitimer(signal.ITIMER_REAL)[0])

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._child is not None:
            self._forward(number)
            return
        self.early.append(number)
        if self._interruptible and len(self.early) == 1:  # a second one must not cut short the clearing up
            raise StopRequested

    def _forward(self, number: int) -> None:
        self._send(number)
        if number == signal.SIGTERM and not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, CHILD_SECONDS)

    def _on_deadline(self, number: int, frame: FrameType | None) -> None:
        self.killed = True
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(number)
