"""Curves and time lines as coordinates; the templates draw them, so that every name in them is escaped there."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 420, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 20
_DAY_SECONDS = 86400.0
_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, _DAY_SECONDS)
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis, and what is written there."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One curve over the seconds since a job's training began."""

    line: str
    """Of a path: its d."""
    area: str
    """The same, closed along the ground."""
    dot: Point
    """The last point."""
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One secondary status on a time line of 1000 units."""

    status: str
    message: str
    left: float
    width: float
    seconds: float


def chart(points: Sequence[Point], start: float, *, grounded: bool = False) -> Chart | None:
    """A curve; None without points. `grounded` ones begin at zero."""
    if not points:
        return None
    times, values = [at - start for at, _ in points], [value for _, value in points]
    first, last = min(times[0], 0.0), max(times[-1], times[0] + 1e-3)
    low, high = min(values), max(values)
    if grounded:
        low = min(low, 0.0)
    if high - low < 1e-12 * max(abs(high), 1.0):
        low, high = low - max(abs(low) * 0.1, 0.5) * (not grounded), high + max(abs(high) * 0.1, 0.5)

    def across(seconds: float) -> float:
        return round(_LEFT + (seconds - first) / (last - first) * (WIDTH - _LEFT - _RIGHT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    places = [(across(seconds), up(value)) for seconds, value in zip(times, values, strict=True)]
    line = "M" + " L".join(f"{x:g},{y:g}" for x, y in places)
    ground = HEIGHT - _BOTTOM
    return Chart(
        line=line,
        area=f"{line} L{places[-1][0]:g},{ground} L{places[0][0]:g},{ground} Z",
        dot=places[-1],
        across=tuple(Tick(at=across(value), text=duration(value)) for value in _moments(first, last)),
        up=tuple(Tick(at=up(value), text=number(value)) for value in _steps(low, high)),
    )


def timeline(transitions: Iterable[Mapping[str, Any]], now: float) -> tuple[Segment, ...]:
    """The secondary statuses of a job side by side; one that is not over ends now. Those at the end have no length."""
    items = list(transitions)
    if not items:
        return ()
    begin = items[0]["StartTime"]
    whole = max(max(item.get("EndTime", now) for item in items) - begin, 1e-3)
    segments = []
    for item in items:
        seconds = max(item.get("EndTime", now) - item["StartTime"], 0.0)
        left, width = 1000 * (item["StartTime"] - begin) / whole, 1000 * seconds / whole
        segments.append(
            Segment(
                status=item["Status"],
                message=item.get("StatusMessage", ""),
                left=round(left, 1),
                width=round(width, 1),
                seconds=seconds,
            )
        )
    return tuple(segments)


def shares(parts: Mapping[str, float]) -> tuple[Segment, ...]:
    """Parts of a whole side by side."""
    whole, left, segments = sum(parts.values()) or 1.0, 0.0, []
    for name, value in parts.items():
        width = 1000 * value / whole
        segments.append(Segment(status=name, message="", left=round(left, 1), width=round(width, 1), seconds=value))
        left += width
    return tuple(segments)


def number(value: float) -> str:
    """Short, and as exact as a curve can be read."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """As people say it, in two units at most."""
    seconds = max(seconds, 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 and seconds % 1 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds % 60 >= 1 else f"{int(seconds // 60)} min"
    if seconds < _DAY_SECONDS:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // _DAY_SECONDS)} d {int(seconds % _DAY_SECONDS // 3600)} h"


def ago(seconds: float) -> str:
    """How long ago, in one unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{max(int(seconds), 0)} s ago"


def _steps(low: float, high: float) -> list[float]:
    """Round values between two: two to five."""
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    return _multiples(next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw), low, high)


def _moments(first: float, last: float) -> list[float]:
    """Round times between two, in seconds: a handful."""
    raw = (last - first) / 4
    if raw < 1:
        return _steps(first, last)
    days = 10 ** math.ceil(math.log10(max(raw / _DAY_SECONDS, 0.1))) * _DAY_SECONDS
    return _multiples(next((step for step in _CLOCK_STEPS if step >= raw), days), first, last)


def _multiples(step: float, low: float, high: float) -> list[float]:
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
