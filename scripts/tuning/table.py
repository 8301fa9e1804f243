"""A sweep as a table: a row for each trial, and a line of how it stands."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_mode.tuning.objective import Objective
from scripts.submitting.estimate import duration
from scripts.tuning.trials import Seen, Trial


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial."""

    number: int
    status: str
    text: str
    has_ended: bool


@dataclass(frozen=True, kw_only=True)
class Table:
    """Which columns there are, and what the sweep's budget is."""

    objective: Objective
    names: Sequence[str]
    """Of the hyperparameters that are tuned."""
    jobs: int
    """Training jobs in all."""
    parallel: int
    """Training jobs at a time."""

    @property
    def header(self) -> str:
        """What stands above the rows."""
        names = "  ".join(f"{name:>{_width(name)}}" for name in self.names)
        return f"{'trial':>5}  {'status':<10}  {'time':>6}  {self._metric}  {'best':>9}  {names}"

    def rows(self, seen: Seen, now: float) -> list[Row]:
        """All trials; `best` is the best of those that had ended by then, of a running one up to now."""
        return [
            Row(
                number=trial.number,
                status=trial.status,
                text=self._row(trial, seen.trials, now),
                has_ended=trial.has_ended,
            )
            for trial in seen.trials
        ]

    def standing(self, seen: Seen, now: float) -> str:
        """How the sweep stands, in a line."""
        ended = sum(trial.has_ended for trial in seen.trials)
        parts = [f"{ended} of {self.jobs} ended, {len(seen.trials) - ended} run"]
        if (best := seen.best) and best.objective is not None:
            parts.append(f"best {self.objective.metric} = {best.objective:.5g}, trial {best.number}")
        left = self.left(seen.trials, now)
        parts.append("time left not known before one has ended" if left is None else f"about {duration(left)} left")
        return "; ".join(parts)

    def left(self, trials: Sequence[Trial], now: float) -> float | None:
        """Seconds until all have ended, if those to come take as long as the others did; None before one has."""
        times = [trial.ended - trial.began for trial in trials if trial.ended is not None]
        if not times:
            return None
        usual = statistics.fmean(times)
        work = [max(0.0, usual - (now - trial.began)) for trial in trials if not trial.has_ended]
        to_come = max(0, self.jobs - len(trials))
        return max(max(work, default=0.0), (sum(work) + to_come * usual) / self.parallel)

    def _row(self, trial: Trial, trials: Sequence[Trial], now: float) -> str:
        until = trial.ended if trial.ended is not None else now
        earlier = [each.objective for each in trials if each.counts and each.ended is not None and each.ended <= until]
        known = [value for value in earlier if value is not None]
        best = self.objective.best(known) if known else None
        values = "  ".join(f"{shown(trial.values.get(name, '-')):>{_width(name)}}" for name in self.names)
        # What a running one has is not its last word yet.
        value = _number(trial.objective) + ("" if trial.has_ended or trial.objective is None else "..")
        return (
            f"{trial.number:>5}  {trial.status:<10}  {duration(until - trial.began):>6}  "
            f"{value:>{len(self._metric)}}  {_number(best):>9}  {values}"
        )

    @property
    def _metric(self) -> str:
        return f"{self.objective.metric:>9}"


def shown(text: str) -> str:
    """A hyperparameter's value as a person reads it: a number with four digits, a text without a client's quotes."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else text


def values_of(values: Mapping[str, str]) -> str:
    """Hyperparameters on a line."""
    return "  ".join(f"{name}={shown(text)}" for name, text in values.items())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _width(name: str) -> int:
    return max(len(name), 9)
