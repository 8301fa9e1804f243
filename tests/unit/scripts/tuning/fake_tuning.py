"""The outer edge of sweeps, in memory: a tuning job whose looks are written down."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from local_mode.tuning.objective import Objective
from scripts.submitting.destination import Destination
from scripts.tuning.trials import Trial
from tests.unit.scripts.submitting.fake_aws import FakeLogs

# ruff: noqa: N803  # arguments are called as boto3 calls them

ROOT = Path(__file__).resolve().parents[4]
SWEEPS = sorted((ROOT / "examples" / "tuning").glob("*.yaml"))
AT = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
BEGUN = AT.timestamp()
ACCURACY = Objective(metric="validation:accuracy", maximize=True)
ON_AWS, HERE = "https://api.sagemaker.us-east-1.amazonaws.com", "http://127.0.0.1:4640"
Look = tuple[str, list[dict[str, Any]]]


def summary(
    number: int, status: str = "Completed", value: float | None = None, *, sweep: str = "sweep", seconds: float = 60,
    **values: str,
) -> dict[str, Any]:  # fmt: skip
    """A HyperParameterTrainingJobSummary."""
    ended = status in ("Completed", "Failed", "Stopped")
    found = {
        "TrainingJobName": f"{sweep}-{number:03}-0123abcd",
        "TrainingJobStatus": status,
        "CreationTime": AT + datetime.timedelta(seconds=10 * number),
        "TunedHyperParameters": values or {"learning_rate": "0.0123456", "batch_size": "64"},
        "ObjectiveStatus": ("Succeeded" if value is not None else "Failed") if ended else "Pending",
    }
    if ended:
        found["TrainingEndTime"] = found["CreationTime"] + datetime.timedelta(seconds=seconds)
    if value is not None:
        metric = {"MetricName": ACCURACY.metric, "Type": "Maximize", "Value": value}
        found["FinalHyperParameterTuningJobObjectiveMetric"] = metric
    return found


def trial(number: int, status: str = "Completed", objective: float | None = None, **changes: Any) -> Trial:
    """What such a summary is read as."""
    given = {
        "number": number,
        "name": f"sweep-{number:03}-0123abcd",
        "status": status,
        "values": {"learning_rate": "0.0123456", "batch_size": "64"},
        "objective": objective,
        "counts": objective is not None and status != "InProgress",
        "began": BEGUN + 10 * number,
        "ended": None if status == "InProgress" else BEGUN + 10 * number + 60,
    }
    return Trial(**{**given, **changes})


class FakeSageMaker:
    """Answers each Describe with the sweep's next look; the last one stays."""

    def __init__(self, *looks: Look, running: float | None = None, url: str = HERE) -> None:
        """`looks` have a status and the summaries of the trials; `running` is the metric that a running one has."""
        self._looks, self._running = list(looks), running
        self._now: list[dict[str, Any]] = []
        self.created: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.refuses_to_stop = False
        self.meta = SimpleNamespace(endpoint_url=url, region_name="us-east-1")

    def create_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, str]:
        self.created.append(request)
        return {"HyperParameterTuningJobArn": "arn"}

    def stop_hyper_parameter_tuning_job(self, *, HyperParameterTuningJobName: str) -> None:
        if self.refuses_to_stop:
            raise ClientError({"Error": {"Code": "ValidationException"}}, "StopHyperParameterTuningJob")
        self.stopped.append(HyperParameterTuningJobName)

    def describe_hyper_parameter_tuning_job(self, *, HyperParameterTuningJobName: str) -> dict[str, Any]:
        status, self._now = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        metric = "FinalHyperParameterTuningJobObjectiveMetric"
        counted = [each for each in self._now if each["ObjectiveStatus"] == "Succeeded"]
        described: dict[str, Any] = {
            "HyperParameterTuningJobName": HyperParameterTuningJobName, "HyperParameterTuningJobStatus": status,
        }  # fmt: skip
        if counted:
            described["BestTrainingJob"] = max(counted, key=lambda each: float(each[metric]["Value"]))
        return described

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:
        metrics = [] if self._running is None else [{"MetricName": ACCURACY.metric, "Value": self._running}]
        return {"TrainingJobName": TrainingJobName, "FinalMetricDataList": metrics}

    def get_paginator(self, operation: str) -> "FakeSageMaker":
        assert operation == "list_training_jobs_for_hyper_parameter_tuning_job"
        return self

    def paginate(self, *, HyperParameterTuningJobName: str) -> Iterator[dict[str, Any]]:
        # The service's own order is not the one in which they began.
        for each in reversed(self._now):
            yield {"TrainingJobSummaries": [each]}


class EndOfLogs(FakeLogs):
    """Logs that are asked for their end."""

    def get_log_events(self, *, limit: int = 0, **arguments: Any) -> dict[str, Any]:
        assert limit == 10_000
        return {"events": [{"message": line} for line in self._lines[arguments["logStreamName"]]]}


def place(sagemaker: FakeSageMaker, **logs: list[str]) -> Destination:
    """Where sweeps go in a test; `logs` are the lines by job, whose names have - in place of _."""
    streams = {f"{job.replace('_', '-')}/algo-1-1": lines for job, lines in logs.items()}
    return Destination(sagemaker=sagemaker, logs=EndOfLogs(*([streams] if streams else [])), s3=None)
