"""Stops of a job that come at a moment that a test chooses."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from trainjob import lifecycle
from trainjob.stop import Stop


class StopAfter(Stop):
    """A stop that comes once the program has looked for it so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def check(self) -> None:
        """One look."""
        self._looks -= 1
        if self._looks < 0:
            self.request()
        super().check()


@contextmanager
def listening() -> Iterator[Stop]:
    """The flag of a program that listens to signals; after that they are as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lifecycle.listen()
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


def terminate() -> None:
    """SIGTERM to this process."""
    os.kill(os.getpid(), signal.SIGTERM)
