"""When a tuning job is over, and as what."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from local_mode.tuning.objective import Objective, without_improvement
from local_mode.tuning.plan import Plan
from local_mode.tuning.trial import COMPLETED, FAILED, STOPPED, Trial

_ATTEMPTS = 5
"""Training jobs that failed, and none that did not: as many as SageMaker tries."""
_CONVERGED = 10
"""Training jobs in a row that improved nothing; how SageMaker sees convergence is not documented."""
_NOTHING_SUCCEEDED = (
    "No training job succeeded after {} attempts. Please take a look at the training job failures to get more details."
)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a tuning job is to end."""

    status: str
    reason: str | None = None
    """FailureReason."""


def verdict(plan: Plan, trials: Sequence[Trial], *, created: float, hint: Callable[[Trial], str]) -> End | None:
    """How a tuning job is to end now; None when it is to go on. `hint` says what a log has instead of the metric."""
    ended = sorted((trial for trial in trials if trial.has_ended), key=lambda trial: trial.order or 0)
    if end := _hopeless(ended, trials, hint):
        return end
    if _is_complete(plan, ended):
        return End(status=COMPLETED)
    if plan.seconds is not None and time.time() - created >= plan.seconds:
        return End(status=STOPPED)
    if len(trials) >= plan.jobs and len(ended) == len(trials):
        if any(trial.objective_status == "Succeeded" for trial in ended):
            return End(status=COMPLETED)
        return End(status=FAILED, reason=_NOTHING_SUCCEEDED.format(len(ended)))
    return None


def not_improving(plan: Plan, trials: Sequence[Trial]) -> int:
    """NumberOfTrainingJobsObjectiveNotImproving: how many of the last ones improved nothing."""
    return without_improvement(plan.definitions[0].objective, _values(plan, trials))


def has_converged(plan: Plan, trials: Sequence[Trial]) -> bool:
    """Whether nothing has been gained for long."""
    return not_improving(plan, trials) >= _CONVERGED


def _hopeless(ended: Sequence[Trial], trials: Sequence[Trial], hint: Callable[[Trial], str]) -> End | None:
    """Failures that the next training job would only repeat."""
    failed = [trial for trial in ended if trial.counter == "NonRetryableError"]
    if len(failed) >= _ATTEMPTS and len(failed) == len(ended):
        return End(status=FAILED, reason=_NOTHING_SUCCEEDED.format(len(failed)))
    completed = [trial for trial in ended if trial.status == COMPLETED]
    if completed and not any(trial.points or trial.objective is not None for trial in trials):
        reason = f"No objective metrics found after running {len(completed)} training jobs. {hint(completed[0])}"
        return End(status=FAILED, reason=reason)
    return None


def _is_complete(plan: Plan, ended: Sequence[Trial]) -> bool:
    """Whether one of the completion criteria holds."""
    criteria, objective = plan.criteria, plan.definitions[0].objective
    values = _values(plan, ended)
    if criteria.target is not None and any(objective.reaches(value, criteria.target) for value in values):
        return True
    if criteria.not_improving is not None and not_improving(plan, ended) >= criteria.not_improving:
        return True
    return criteria.convergence and has_converged(plan, ended)


def _values(plan: Plan, trials: Sequence[Trial]) -> list[float]:
    """The objective of the first definition, of all that have it, in the order in which they ended."""
    objective: Objective = plan.definitions[0].objective
    known = [trial for trial in trials if plan.definitions[trial.definition].objective == objective]
    ordered = sorted(known, key=lambda trial: trial.order or 0)
    return [trial.objective for trial in ordered if trial.objective is not None and trial.has_ended]
