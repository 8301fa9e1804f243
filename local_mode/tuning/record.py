"""The record of a tuning job: what DescribeHyperParameterTuningJob answers, in part made of its trials."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from local_mode.tuning.objective import Objective
from local_mode.tuning.plan import OBJECTIVE, Plan, definitions_of, resources
from local_mode.tuning.rules import CATEGORICAL, KINDS
from local_mode.tuning.trial import IN_PROGRESS, Trial

REASON_LIMIT = 1024
EXTRA = "LocalMode"
"""The member that SageMaker's record has not: Seed, by which a search goes on, and Notes."""
STATUS = "HyperParameterTuningJobStatus"
_STATUSES = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
_OBJECTIVES = ("Succeeded", "Pending", "Failed")
_ASKED = ("HyperParameterTuningJobName", "WarmStartConfig", "Autotune", "Tags")
_METRIC = "FinalHyperParameterTuningJobObjectiveMetric"
Document = dict[str, Any]


def first(request: Document, *, arn: str, now: float, seed: int, notes: list[str]) -> Document:
    """The record of a tuning job about to start."""
    return {
        **{key: request[key] for key in _ASKED if request.get(key) is not None},
        "HyperParameterTuningJobConfig": _config(request["HyperParameterTuningJobConfig"]),
        **_definitions(request),
        "HyperParameterTuningJobArn": arn,
        STATUS: IN_PROGRESS,
        "CreationTime": now,
        "LastModifiedTime": now,
        **counters([]),
        EXTRA: {"Seed": seed, "Notes": notes},
    }


def _config(config: Document) -> Document:
    """With what SDK v2 reads of every tuning job that it attaches to."""
    shown = {"TrainingJobEarlyStoppingType": "Off", **config}
    if config.get("ParameterRanges") is not None:
        shown["ParameterRanges"] = {**{kind: [] for kind in (*KINDS, CATEGORICAL)}, **config["ParameterRanges"]}
    return shown


def _definitions(request: Document) -> Document:
    """The definitions of training jobs; as AWS shows them, with what the platform adds to their hyperparameters."""
    shown = []
    for document, objective, _ in definitions_of(request):
        static = {**(document.get("StaticHyperParameters") or {}), OBJECTIVE: (objective or {}).get("MetricName")}
        # SDK v2 sends the flexible form of it always, and attaches to nothing that does not show the plain one.
        shown.append({**document, "StaticHyperParameters": static, "ResourceConfig": resources(document)})
    if request.get("TrainingJobDefinition") is not None:
        return {"TrainingJobDefinition": shown[0]}
    return {"TrainingJobDefinitions": shown}


def counters(trials: Iterable[Trial]) -> Document:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    trials = list(trials)
    statuses, objectives = Counter(trial.counter for trial in trials), Counter(each.objective_status for each in trials)
    return {
        "TrainingJobStatusCounters": {name: statuses[name] for name in _STATUSES},
        "ObjectiveStatusCounters": {name: objectives[name] for name in _OBJECTIVES},
    }


def summary(trial: Trial, plan: Plan) -> Document:
    """A HyperParameterTrainingJobSummary."""
    definition = plan.definitions[trial.definition]
    found: Document = {
        "TrainingJobName": trial.name,
        "TrainingJobArn": trial.arn,
        **trial.times,
        "TrainingJobStatus": trial.status,
        "TunedHyperParameters": dict(trial.values),
        "ObjectiveStatus": trial.objective_status,
    }
    if definition.name:
        found["TrainingJobDefinitionName"] = definition.name
    if trial.reason:
        found["FailureReason"] = trial.reason
    if trial.objective is not None:
        found[_METRIC] = definition.objective.write(trial.objective)
    return found


def best(trials: Iterable[Trial], plan: Plan) -> Trial | None:
    """The trial with the best value of the objective that the first definition has; the first of equal ones."""
    objective: Objective = plan.definitions[0].objective
    found: Trial | None = None
    for trial in trials:
        if trial.objective_status != "Succeeded" or plan.definitions[trial.definition].objective != objective:
            continue
        if found is None or _better(objective, trial, found):
            found = trial
    return found


def _better(objective: Objective, trial: Trial, other: Trial) -> bool:
    if trial.objective is None or other.objective is None:
        return other.objective is None
    return objective.is_better(trial.objective, other.objective)


def overall(candidates: Iterable[Document], objective: Objective) -> Document | None:
    """The best of some summaries of best training jobs."""
    found = [each for each in candidates if _METRIC in each]
    return (max if objective.maximize else min)(found, key=lambda each: float(each[_METRIC]["Value"]), default=None)
