"""One trial of a tuning job: the training job it is, the values it was given, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IN_PROGRESS, STOPPING = "InProgress", "Stopping"
COMPLETED, FAILED, STOPPED = "Completed", "Failed", "Stopped"
FINAL = (COMPLETED, FAILED, STOPPED)
"""Statuses, of training jobs and tuning jobs alike."""
_TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime")
_RETRYABLE = "InternalServerError"
"""What begins the reason of a failure that is none of the request's."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a search is told of an earlier trial."""

    values: Mapping[str, str]
    objective: float | None
    """None while it runs; for one that has ended, there is nothing to be had there."""
    is_running: bool = False
    stopped_at: int | None = None
    """After how many points of the objective metric it was stopped."""


@dataclass(kw_only=True)
class Trial:
    """A trial; its owner changes it."""

    number: int
    """From 1 on."""
    definition: int
    """Which of the tuning job's."""
    name: str
    """The training job's."""
    values: Mapping[str, str]
    """The hyperparameters that are tuned, as the training job gets them."""
    status: str = IN_PROGRESS
    order: int | None = None
    """When it ended: the how-many-eth of the tuning job's, from 1 on."""
    objective: float | None = None
    """The objective metric's last value, once it has ended."""
    points: list[float] = field(default_factory=list)
    """All values of the objective metric, as they came."""
    times: dict[str, float] = field(default_factory=dict)
    """CreationTime and the like, of the training job."""
    arn: str = ""
    reason: str | None = None
    """FailureReason."""

    @property
    def has_ended(self) -> bool:
        """Whether the training job has."""
        return self.status in FINAL

    @property
    def objective_status(self) -> str:
        """Whether the objective metric could be evaluated."""
        if not self.has_ended:
            return "Pending"
        return "Failed" if self.objective is None or self.status == FAILED else "Succeeded"

    @property
    def counter(self) -> str:
        """Which of TrainingJobStatusCounters counts it."""
        if self.status == FAILED:
            return "RetryableError" if (self.reason or "").startswith(_RETRYABLE) else "NonRetryableError"
        return self.status if self.has_ended else IN_PROGRESS

    def observe(self, description: Mapping[str, Any]) -> None:
        """Take in how the training job stands, as it describes itself."""
        self.status, self.arn = description["TrainingJobStatus"], description["TrainingJobArn"]
        self.reason = description.get("FailureReason")
        self.times = {key: description[key] for key in _TIMES if key in description}

    def seen(self) -> Seen:
        """What a search is told of it."""
        value = self.objective if self.objective_status == "Succeeded" else None
        stopped_at = len(self.points) if self.status == STOPPED else None
        return Seen(values=self.values, objective=value, is_running=not self.has_ended, stopped_at=stopped_at)

    def write(self) -> dict[str, Any]:
        """As JSON."""
        return dict(vars(self))

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Trial":
        """From JSON."""
        return cls(**document)
