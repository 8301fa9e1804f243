"""The signals that ask a command to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """The stop signals that came, in order; a handler that does no more cannot deadlock."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in _SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
