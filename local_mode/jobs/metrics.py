"""Finds metrics in log lines, by the regular expressions of MetricDefinitions."""

import math
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from local_mode.jobs.request import MetricDefinition


class MetricScanner:
    """The last value of every metric seen so far. Safe to use from several threads."""

    def __init__(
        self,
        definitions: Iterable[MetricDefinition],
        seen: Callable[[str, float, float], None] = lambda *_: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`seen` is told name, value and time of every point; `on_change` is called after a line that had some.

        Both by the thread that scans the line.
        """
        self._seen, self._on_change = seen, on_change
        self._lock = threading.Lock()
        self._regexes = [(item.Name, re.compile(item.Regex)) for item in definitions]
        self._final: dict[str, tuple[float, float]] = {}

    def scan(self, line: str, time: float) -> None:
        """Take the metrics of one line, written at `time` (seconds since 1970). Several matches: the last counts."""
        found = [
            (name, value)
            for name, regex in self._regexes
            for match in regex.finditer(line)
            if (value := _number(match.group(1))) is not None
        ]
        if found:
            with self._lock:
                self._final.update({name: (value, time) for name, value in found})
            for name, value in found:
                self._seen(name, value, time)
            self._on_change()

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList: the last value of each metric, with the time of its line."""
        with self._lock:
            seen = dict(self._final)
        return [{"MetricName": name, "Value": value, "Timestamp": time} for name, (value, time) in seen.items()]


def _number(text: str | None) -> float | None:
    """A finite number; JSON has no other, so NaN is no point of a metric."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
