"""A sweep whose objective metric is not found in the log of its first trial: no trial will have a value, then."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_mode.tuning.log_hint import likely
from scripts.submitting.watching import GROUP
from scripts.tuning.trials import Trial

_LINES = 10_000
"""Of a log's end: as many as CloudWatch gives at once."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What was looked for, and what is there instead."""

    metric: str
    regex: str
    job: str
    line: str | None
    """The line of the log that looks most like it; None where the log has none."""

    def __str__(self) -> str:
        found = self.line or "(the log has no line)"
        return "\n".join(
            [
                f"No trial can have a value: nothing in the log of {self.job} matches the metric {self.metric}.",
                f"  its Regex            {self.regex}",
                f"  should have matched  {found}",
                "  to do                mend that Regex in MetricDefinitions, or what the program prints",
            ]
        )


def without_metric(trials: Sequence[Trial]) -> Trial | None:
    """The first trial that ran to its end without a value, if no other has one."""
    if any(trial.objective is not None for trial in trials):
        return None
    return next((trial for trial in trials if trial.status == "Completed"), None)


def explain(logs: Any, trial: Trial, metric: str, definition: Mapping[str, Any]) -> Missing:
    """What the log of such a trial has. `definition` is of its training job."""
    known = definition["AlgorithmSpecification"].get("MetricDefinitions") or ()
    regex = next((item["Regex"] for item in known if item["Name"] == metric), "(there is none)")
    return Missing(metric=metric, regex=regex, job=trial.name, line=likely(metric, _lines(logs, trial.name)))


def _lines(logs: Any, job: str) -> Iterator[str]:
    """The ends of all hosts' logs."""
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, logStreamNamePrefix=f"{job}/")
    try:
        streams = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except logs.exceptions.ResourceNotFoundException:
        return  # no job of the account has logged anything yet
    for stream in streams:
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=False, limit=_LINES)
        yield from (event["message"] for event in page["events"])
