"""The outer edge of submitting, in memory: one job whose course is written down, and its logs."""

import datetime
from collections.abc import Iterator
from typing import Any

AT = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)


# ruff: noqa: N803  # arguments are called as boto3 calls them


class NotFoundError(Exception):
    """What a client raises for a log group that is not there."""


class FakeSageMaker:
    """Answers each Describe with the next step of a job's course; the last one stays."""

    def __init__(self, *course: tuple[str, list[tuple[str, str]]]) -> None:
        """`course` has a status and the transitions up to then, for each look."""
        self._course = list(course)
        self.created: list[dict[str, Any]] = []
        self.stopped: list[str] = []

    def create_training_job(self, **request: Any) -> dict[str, str]:
        self.created.append(request)
        return {"TrainingJobArn": "arn"}

    def stop_training_job(self, *, TrainingJobName: str) -> None:
        self.stopped.append(TrainingJobName)

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:
        status, transitions = self._course.pop(0) if len(self._course) > 1 else self._course[0]
        shown = [{"Status": name, "StatusMessage": message, "StartTime": AT} for name, message in transitions]
        return {
            "TrainingJobName": TrainingJobName, "TrainingJobStatus": status, "SecondaryStatusTransitions": shown,
        }  # fmt: skip


class FakeLogs:
    """Streams that get more lines with every look."""

    class exceptions:  # noqa: N801 - boto3's
        ResourceNotFoundException = NotFoundError

    def __init__(self, *rounds: dict[str, list[str]]) -> None:
        """`rounds` has the new lines of each stream by its name, for each time that streams are listed."""
        self._rounds = list(rounds)
        self._lines: dict[str, list[str]] = {}

    def get_paginator(self, operation: str) -> "FakeLogs":
        assert operation == "describe_log_streams"
        return self

    def paginate(self, *, logGroupName: str, logStreamNamePrefix: str) -> Iterator[dict[str, Any]]:
        fresh = self._rounds.pop(0) if self._rounds else {}
        for stream, lines in fresh.items():
            self._lines.setdefault(stream, []).extend(lines)
        if not self._lines:
            raise NotFoundError(logGroupName)
        yield {"logStreams": [{"logStreamName": name} for name in self._lines if name.startswith(logStreamNamePrefix)]}

    def get_log_events(
        self,
        *,
        logGroupName: str,
        logStreamName: str,
        nextToken: str = "0",
        startFromHead: bool = False,
    ) -> dict[str, Any]:
        lines = self._lines[logStreamName]
        # At most two a page, so that one look takes several pages.
        begin = int(nextToken)
        end = min(begin + 2, len(lines))
        return {"events": [{"message": line} for line in lines[begin:end]], "nextForwardToken": str(end)}
