"""How far an upload is: a bar for each layer on a terminal, a line now and then in a log."""

import time
from collections.abc import Callable
from typing import Any, Protocol, Self, TextIO

from tqdm import tqdm

from scripts.publishing.engine import Event

PAUSE_SECONDS = 10.0
"""Between two lines of a log."""
_DONE = ("Pushed", "Layer already exists", "Mounted from")


class Progress(Protocol):
    """Is told of layers while it is open."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def __call__(self, event: Event) -> None:
        """Take note."""


class Bars:
    """One bar for each layer."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def __call__(self, event: Event) -> None:
        """Move the layer's bar."""
        bar = self._bars.get(event.layer)
        if bar is None:
            bar = self._bars[event.layer] = tqdm(
                desc=event.layer, unit="B", unit_scale=True, unit_divisor=1000, file=self._stream, dynamic_ncols=True
            )
        if event.total:
            bar.total = max(event.total, event.done)  # an archive has headers, which the engine counts as well
        if event.done:
            bar.update(max(0, event.done - bar.n))
        if event.status.startswith(_DONE):
            bar.total = bar.total or bar.n
            bar.update(max(0, bar.total - bar.n))
        bar.set_postfix_str(event.status.lower(), refresh=True)


class Lines:
    """A line for each layer that is there, and one now and then for what is under way."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._layers: dict[str, Event] = {}
        self._next = clock() + PAUSE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Nothing is open."""

    def __call__(self, event: Event) -> None:
        """Say what there is to be said."""
        before = self._layers.get(event.layer)
        if event.status.startswith(_DONE) and (before is None or before.status != event.status):
            size = f", {before.total / 1e6:.1f} MB unpacked" if before and before.total else ""
            self._say(f"layer {event.layer}: {event.status.lower()}{size}")
        elif event.status.startswith("Retrying") and (before is None or not before.status.startswith("Retrying")):
            self._say(f"layer {event.layer}: broke off; {event.status.lower()}")
        self._layers[event.layer] = event
        if self._clock() >= self._next:
            self._next = self._clock() + PAUSE_SECONDS
            there = sum(each.status.startswith(_DONE) for each in self._layers.values())
            under_way = [each for each in self._layers.values() if each.status == "Pushing"]
            more = ""
            if under_way:
                done, total = (sum(getattr(each, part) for each in under_way) / 1e6 for part in ("done", "total"))
                more = f"; {done:.0f} of {total:.0f} MB of {len(under_way)} more"
            self._say(f"{there} of {len(self._layers)} layers there{more}")


def choose(stream: TextIO, say: Callable[[str], None]) -> Progress:
    """Bars where someone looks on, else lines."""
    return Bars(stream) if stream.isatty() else Lines(say)
