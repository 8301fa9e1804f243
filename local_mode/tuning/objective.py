"""What a tuning job is after: a metric that is to become large or small, and when there is no more to be gained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WORTH = 0.01
"""Of the best value so far: less than this is no improvement, as SageMaker documents it."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A metric and its direction."""

    metric: str
    maximize: bool

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Objective":
        """From a HyperParameterTuningJobObjective."""
        return cls(metric=document["MetricName"], maximize=document["Type"] == "Maximize")

    def write(self, value: float) -> dict[str, Any]:
        """A FinalHyperParameterTuningJobObjectiveMetric."""
        return {"Type": "Maximize" if self.maximize else "Minimize", "MetricName": self.metric, "Value": value}

    def is_better(self, value: float, other: float) -> bool:
        """Whether one value is better than another."""
        return value > other if self.maximize else value < other

    def reaches(self, value: float, target: float) -> bool:
        """Whether a value is as good as a target."""
        return value == target or self.is_better(value, target)

    def best(self, values: Iterable[float]) -> float:
        """The best of some values."""
        return max(values) if self.maximize else min(values)


def without_improvement(objective: Objective, values: Sequence[float]) -> int:
    """How many of the last values did not improve on the best before them by a hundredth of it or more."""
    count, best = 0, None
    for value in values:
        if best is None or (objective.is_better(value, best) and abs(value - best) >= _WORTH * abs(best)):
            count, best = 0, value
        else:
            count += 1
    return count
