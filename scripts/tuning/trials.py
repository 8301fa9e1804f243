"""The trials of a sweep, as the API of tuning jobs shows them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_mode.tuning.objective import Objective

ENDED = ("Completed", "Failed", "Stopped")
LIST = "list_training_jobs_for_hyper_parameter_tuning_job"
_METRIC = "FinalHyperParameterTuningJobObjectiveMetric"
_NUMBER = re.compile(r"-([0-9]{3,})-[0-9a-f]{8}")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One of them."""

    number: int
    """From 1 on."""
    name: str
    """The training job's."""
    status: str
    values: Mapping[str, str]
    """The hyperparameters that are tuned."""
    objective: float | None = None
    """The objective metric's last value; None while there is none."""
    counts: bool = False
    """Whether it has ended, and with a value."""
    began: float
    """In seconds of the clock."""
    ended: float | None = None
    reason: str = ""
    """Why it failed."""
    definition: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the training job has."""
        return self.status in ENDED


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A sweep at one look."""

    described: Mapping[str, Any]
    trials: Sequence[Trial]

    @property
    def status(self) -> str:
        """The tuning job's."""
        return str(self.described["HyperParameterTuningJobStatus"])

    @property
    def best(self) -> Trial | None:
        """The best of all that have ended; None while there is none."""
        name = self.described.get("BestTrainingJob", {}).get("TrainingJobName")
        return next((trial for trial in self.trials if trial.name == name), None)


def look(sagemaker: Any, name: str, objectives: Mapping[str | None, Objective]) -> Seen:
    """How a sweep stands. `objectives` are its definitions', by their names."""
    described = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    trials = sorted(_read(sagemaker, name, objectives), key=lambda trial: trial.number)
    return Seen(described=described, trials=trials)


def _read(sagemaker: Any, name: str, objectives: Mapping[str | None, Objective]) -> Iterator[Trial]:
    pages = sagemaker.get_paginator(LIST).paginate(HyperParameterTuningJobName=name)
    for index, summary in enumerate(each for page in pages for each in page["TrainingJobSummaries"]):
        job, status = summary["TrainingJobName"], summary["TrainingJobStatus"]
        definition = summary.get("TrainingJobDefinitionName")
        counted = _NUMBER.fullmatch(job.removeprefix(name))
        value = summary.get(_METRIC, {}).get("Value")
        if value is None and status not in ENDED:
            value = _last(sagemaker, job, objectives[definition].metric)
        yield Trial(
            number=int(counted[1]) if counted else index + 1,
            name=job,
            status=status,
            values=summary["TunedHyperParameters"],
            objective=value,
            counts=summary.get("ObjectiveStatus") == "Succeeded",
            began=summary["CreationTime"].timestamp(),
            ended=summary["TrainingEndTime"].timestamp() if "TrainingEndTime" in summary else None,
            reason=summary.get("FailureReason", ""),
            definition=definition,
        )


def _last(sagemaker: Any, job: str, metric: str) -> float | None:
    """The metric's last value of a job that runs."""
    described = sagemaker.describe_training_job(TrainingJobName=job)
    found = {item["MetricName"]: item["Value"] for item in described.get("FinalMetricDataList", [])}
    return found.get(metric)
