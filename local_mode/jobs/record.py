"""The record of a job: what DescribeTrainingJob answers, kept in job.json at every change."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.shapes import write

IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
FINAL = (COMPLETED, FAILED, STOPPED)
REASON_LIMIT = 1024
"""Characters of FailureReason."""
MESSAGES = {
    "Starting": "Starting the training job...",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds",
}


class Record:
    """One job's record. Times are seconds since 1970, as on AWS's wire. Safe to use from several threads."""

    def __init__(self, path: Path, document: dict[str, Any], clock: Callable[[], float]) -> None:
        self._path = path
        self._document = document
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls, path: Path, request: TrainingJobRequest, *, arn: str, model: str, clock: Callable[[], float]
    ) -> "Record":
        """The record of a job about to start; `model` is where its model will be."""
        now = clock()
        document = {
            "TrainingJobName": request.TrainingJobName,
            "TrainingJobArn": arn,
            "ModelArtifacts": {"S3ModelArtifacts": model},
            "TrainingJobStatus": IN_PROGRESS,
            "SecondaryStatus": "Starting",
            **write(request),
            "CreationTime": now,
            "LastModifiedTime": now,
            "SecondaryStatusTransitions": [_transition("Starting", now)],
            "FinalMetricDataList": [],
        }
        record = cls(path, document, clock)
        record._save()
        return record

    @classmethod
    def load(cls, path: Path, clock: Callable[[], float]) -> "Record":
        """The record of a job that another process left."""
        return cls(path, json.loads(path.read_text(encoding="utf-8")), clock)

    def describe(self) -> dict[str, Any]:
        """A copy of the record."""
        with self._lock:
            return json.loads(json.dumps(self._document))  # type: ignore[no-any-return]

    @property
    def status(self) -> str:
        """TrainingJobStatus."""
        return str(self._document["TrainingJobStatus"])

    def enter(self, secondary: str, *, status: str | None = None, **fields: Any) -> None:
        """Enter a secondary status, and a status with it.

        Raises:
            OSError: job.json cannot be written; `describe` knows the status all the same.
        """
        now = self._clock()
        with self._lock:
            transitions = self._document["SecondaryStatusTransitions"]
            transitions[-1]["EndTime"] = now
            transitions.append(_transition(secondary, now))
            if status in FINAL:
                transitions[-1]["EndTime"] = now
                self._close(now)
            self._document.update(fields, SecondaryStatus=secondary, LastModifiedTime=now)
            self._document["TrainingJobStatus"] = status or self._document["TrainingJobStatus"]
            if secondary == "Training":
                self._document["TrainingStartTime"] = now
            self._save()

    def amend(self, **fields: Any) -> None:
        """Change fields that are no part of the job's life.

        Raises:
            OSError: job.json cannot be written.
        """
        with self._lock:
            self._document.update(fields)
            self._save()

    def _close(self, now: float) -> None:
        start = self._document.get("TrainingStartTime")
        if start is not None:
            seconds = max(0, round(now - start))
            self._document.update(TrainingEndTime=now, TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds)

    def _save(self) -> None:
        half = self._path.with_name(f".{self._path.name}.part")
        with half.open("w", encoding="utf-8") as file:
            json.dump(self._document, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._path)


def algorithm_error(text: str | None, code: int) -> str:
    """FailureReason of a program that failed: its own words, as many as fit, then the exit code."""
    head, tail = "AlgorithmError: ", f", exit code: {code}"
    return f"{head}{(text or '').strip()[: REASON_LIMIT - len(head) - len(tail)]}{tail}"


def _transition(secondary: str, now: float) -> dict[str, Any]:
    return {"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]}
