"""When and how a job is interrupted: drawn from a seed."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What happens to the job."""

    SPOT = "spot"
    """It loses its instance, with the notice that goes before: SIGTERM, and a fresh instance."""
    STOP = "stop"
    """It is stopped as StopTrainingJob does, and another job goes on from its checkpoints."""
    KILL = "kill"
    """Everything of it is killed by SIGKILL, the platform too; another job goes on from what has been synced."""
    TEAR = "kill, tear"
    """The same, and the newest checkpoint that has been synced is cut to its half."""


GRACEFUL = (Kind.SPOT, Kind.STOP)
_ROUND = (Kind.SPOT, Kind.KILL, Kind.STOP, Kind.SPOT, Kind.TEAR, Kind.KILL)
_EARLY = 0.25
"""Share of interruptions that come before the first step."""
_DELAY_SECONDS = 0.05
"""Within which one comes once its step is done: in the midst of the next one, or of a write."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One interruption to be."""

    kind: Kind
    step: int
    """It comes when so many steps are done."""
    early: float | None = None
    """In place of `step`: when this share of the time has gone that the job takes to its first step."""
    delay: float = 0.0
    """Seconds later than that."""


def draw(seed: int, count: int, steps: int) -> list[Moment]:
    """As many moments, spread over a job of so many steps; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - nothing here is a secret
    kinds = [_ROUND[index % len(_ROUND)] for index in range(count)]
    dice.shuffle(kinds)
    for index in range(count // 3):  # where there may be nothing yet to be torn
        if kinds[index] is Kind.TEAR:
            other = next(place for place in range(count // 3, count) if kinds[place] is not Kind.TEAR)
            kinds[index], kinds[other] = kinds[other], kinds[index]
    return [
        Moment(
            kind=kind,
            step=int((index + dice.random()) * steps / (count + 2)),
            early=dice.random() if dice.random() < _EARLY else None,
            delay=dice.uniform(0, _DELAY_SECONDS),
        )
        for index, kind in enumerate(kinds)
    ]
