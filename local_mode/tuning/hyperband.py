"""Hyperband: few epochs for all training jobs, more for the better ones, decided as each of them gets there.

This is its asynchronous form: nobody waits for a rung to fill. A job goes on when it is in the best third of all that
were at the rung before it. Only the bracket that begins with MinResource is run: the others spend most epochs on jobs
that a look at an early rung rules out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_mode.tuning.median import Points
from local_mode.tuning.objective import Objective

MOST_RESOURCE = 20_000
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Names of a static hyperparameter that is taken for MaxResource."""
_FACTOR = 3
"""Of a rung to the next one; and the share that gets there, turned round."""


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """How many times a training job may, and must at least, emit the objective metric."""

    least: int
    most: int

    def rungs(self) -> Iterator[int]:
        """Epochs after which it is decided whether a job goes on."""
        rung = self.least
        while rung < self.most:
            yield rung
            rung *= _FACTOR

    def is_beaten(self, points: Points, others: Sequence[Points], objective: Objective) -> bool:
        """Whether a job is to be stopped after its last point; `others` are those of jobs that began before or after.

        A job that goes beyond `most` is stopped as well. One that emits just as many ends by itself, with its model.
        """
        epoch = len(points)
        if epoch > self.most:
            return True
        if epoch not in self.rungs():
            return False
        mine = points[-1]
        there = [other[epoch - 1] for other in others if len(other) >= epoch]
        ahead = sum(objective.is_better(value, mine) for value in there)
        return ahead >= math.ceil((len(there) + 1) / _FACTOR)


def given(config: Mapping[str, Any], static: Mapping[str, str]) -> tuple[int, int | None]:
    """MinResource and MaxResource as a request has them; None where nothing says the second."""
    wanted = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
    inferred = [static[name] for name in EPOCHS if name in static]
    most = wanted.get("MaxResource") or next((int(text) for text in inferred if text.isdigit()), None)
    return wanted.get("MinResource", 1), most
