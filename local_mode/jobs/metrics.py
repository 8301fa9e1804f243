"""Finds metrics in log lines, by the regular expressions of MetricDefinitions."""

import math
import re
from collections.abc import Iterable
from typing import Any

from local_mode.jobs.request import MetricDefinition


class MetricScanner:
    """The last value of every metric seen so far."""

    def __init__(self, definitions: Iterable[MetricDefinition]) -> None:
        self._regexes = [(item.Name, re.compile(item.Regex)) for item in definitions]
        self._final: dict[str, tuple[float, float]] = {}

    def scan(self, line: str, time: float) -> None:
        """Take the metrics of one line, written at `time` (seconds since 1970). Several matches: the last counts."""
        for name, regex in self._regexes:
            for match in regex.finditer(line):
                value = _number(match.group(1))
                if value is not None:
                    self._final[name] = (value, time)

    def final(self) -> list[dict[str, Any]]:
        """FinalMetricDataList: the last value of each metric, with the time of its line."""
        return [{"MetricName": name, "Value": value, "Timestamp": time} for name, (value, time) in self._final.items()]


def _number(text: str | None) -> float | None:
    """A finite number; JSON has no other, so NaN is no point of a metric."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
