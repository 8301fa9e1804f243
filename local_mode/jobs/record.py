"""The record of a job: what DescribeTrainingJob answers, stored at every change, and in job.json at the end."""

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.shapes import write
from local_mode.jobs.store import Store, StoreError

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
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds",
    "Interrupted": "The managed spot training instances were interrupted",
}


class Record:
    """One job's record. Times are seconds since 1970, as on AWS's wire. Safe to use from several threads."""

    def __init__(self, store: Store, path: Path, document: dict[str, Any], clock: Callable[[], float]) -> None:
        """`path` is of the file that has the record once the job has ended."""
        self._store, self._path = store, path
        self._document = document
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        store: Store,
        path: Path,
        request: TrainingJobRequest,
        *,
        arn: str,
        model: str,
        clock: Callable[[], float],
        tuning_job: str | None = None,
    ) -> "Record":
        """The record of a job about to start; `model` is where its model will be, `tuning_job` the ARN of its creator.

        Raises:
            StoreError: it cannot be stored.
        """
        now = clock()
        document = {
            "TrainingJobName": request.TrainingJobName,
            "TrainingJobArn": arn,
            **({"TuningJobArn": tuning_job} if tuning_job else {}),
            "ModelArtifacts": {"S3ModelArtifacts": model},
            "TrainingJobStatus": IN_PROGRESS,
            "SecondaryStatus": "Starting",
            **write(request),
            "CreationTime": now,
            "LastModifiedTime": now,
            "SecondaryStatusTransitions": [_transition("Starting", now)],
            "FinalMetricDataList": [],
        }
        store.put(document)
        return cls(store, path, document, clock)

    @classmethod
    def load(cls, store: Store, path: Path, name: str, clock: Callable[[], float]) -> "Record | None":
        """The record of a job that another process left; None where there is none.

        Raises:
            StoreError: it cannot be read.
        """
        document = store.get(name)
        return cls(store, path, document, clock) if document else None

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
            OSError: the record cannot be written; `describe` knows the status all the same.
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
                self._document.setdefault("TrainingStartTime", now)  # of the first of its attempts
            # A machine that falls takes a job with it that is not over, whatever its record says.
            self._save(durable=status in FINAL)

    def amend(self, **fields: Any) -> None:
        """Change fields that are no part of the job's life; without any, only try to write it again.

        Raises:
            OSError: the record cannot be written.
        """
        with self._lock:
            self._document.update(fields)
            self._save(durable=True)

    def _close(self, now: float) -> None:
        start = self._document.get("TrainingStartTime")
        if start is not None:
            seconds = max(0, round(now - start))
            self._document.update(TrainingEndTime=now, TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds)

    def keep(self) -> None:
        """Leave job.json behind, once the job has ended; nothing before.

        Raises:
            OSError: it cannot be written.
        """
        if self._document["TrainingJobStatus"] not in FINAL:
            return
        half = self._path.with_name(f".{self._path.name}.part")
        with half.open("w", encoding="utf-8") as file:
            json.dump(self._document, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._path)

    def _save(self, *, durable: bool) -> None:
        try:
            self._store.put(self._document, durable=durable)
        except StoreError as error:
            raise OSError(errno.EIO, str(error), str(self._store.path)) from None
        self.keep()


def algorithm_error(text: str | None, code: int) -> str:
    """FailureReason of a program that failed: its own words, as many as fit, then the exit code."""
    head, tail = "AlgorithmError: ", f", exit code: {code}"
    return f"{head}{(text or '').strip()[: REASON_LIMIT - len(head) - len(tail)]}{tail}"


def _transition(secondary: str, now: float) -> dict[str, Any]:
    return {"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]}
