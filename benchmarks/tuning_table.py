"""A recorded benchmark of a search: accuracies of Net on CIFAR-10 by configuration and epoch, and what lies between.

The hyperparameters are the workshop's: learning rate, batch size, optimizer. Recorded is a grid of them.
"""

import csv
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

from local_mode.tuning.ranges import Categorical, read

EPOCHS = 9
LEAST, MOST, LEVELS = 1e-4, 1.0, 10
"""Of the learning rate, on a logarithmic scale."""
RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "learning_rate", "MinValue": str(LEAST), "MaxValue": str(MOST), "ScalingType": "Logarithmic"},
    ],
    "CategoricalParameterRanges": [
        {"Name": "batch_size", "Values": ["64", "128", "256"]},
        {"Name": "optimizer", "Values": ["sgd", "adamw"]},
    ],
}
SPACE = read(RANGES)
RATE, *CHOICES = SPACE
TABLE = Path(__file__).with_name("tuning_table.csv")
Curve = list[float]


def grid() -> list[dict[str, str]]:
    """The configurations that are recorded, in their order."""
    levels = [RATE.write(index / (LEVELS - 1)) for index in range(LEVELS)]
    choices = [each.choices for each in CHOICES if isinstance(each, Categorical)]
    names = [each.name for each in SPACE]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(levels, *choices)]


class Surrogate:
    """What a configuration would reach: between two recorded learning rates, on the straight line between them.

    It is deterministic, so that a search is judged by what it finds and not by a training's luck.
    """

    def __init__(self, path: Path = TABLE) -> None:
        """`path` is what record_tuning has written."""
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        self._known: dict[tuple[str, ...], list[Curve]] = {}
        for row in rows:  # learning rates rise from row to row
            curve = [float(row[f"epoch_{number + 1}"]) for number in range(EPOCHS)]
            self._known.setdefault(_choice(row), []).append(curve)
        if {len(curves) for curves in self._known.values()} != {LEVELS}:
            raise ValueError(f"{path} has {len(rows)} rows; record_tuning writes {len(grid())}: run it again")

    def __len__(self) -> int:
        return sum(len(curves) for curves in self._known.values())

    def curve(self, values: Mapping[str, str]) -> Curve:
        """Validation accuracy after each epoch."""
        curves = self._known[_choice(values)]
        at = RATE.read(values[RATE.name]) * (LEVELS - 1) if not isinstance(RATE, Categorical) else 0.0
        below = min(math.floor(at), LEVELS - 2)
        share = at - below
        return [(1 - share) * a + share * b for a, b in zip(curves[below], curves[below + 1], strict=True)]


def _choice(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(values[each.name] for each in CHOICES)
