"""What a job's log tells of its attempts: where each began, which steps it took, how it ended."""

import re
from dataclasses import dataclass, field

from trainjob.training.between import STEP_LOSS

from scripts.drilling.moments import Kind

_TRAINS = re.compile(r"^\d\d:\d\d:\d\d Training - ")
_LISTENS = re.compile(r" on cpu, (?:torch|tensorflow) ")
_RESUMED = re.compile(r" resumed after epoch \d+, batch \d+, step (\d+)$")
_STEP = re.compile(rf"^step=(\d+) {STEP_LOSS}=([^;]+);$")
_SKIPPED = re.compile(r" checkpoint of step (\d+) skipped ")
_STOPPED = re.compile(r" stopped in epoch \d+ after batch \d+, step (\d+)$")
_LOG_LINES = 200


@dataclass(kw_only=True)
class Attempt:
    """One container's life."""

    wanted: int | None
    """The step that it should go on from; None where that was not known."""
    listened: bool = False
    """Whether the program came so far that it handles signals."""
    began: int = 0
    """The step that it says it goes on from."""
    steps: list[tuple[int, str]] = field(default_factory=list)
    """Each step it took, with its loss as it was printed."""
    skipped: list[int] = field(default_factory=list)
    """Steps of checkpoints that it found broken."""
    stopped: int | None = None
    """The step that it says it stopped at."""
    ended_by: Kind | None = None
    """What interrupted it; None where it came to its end."""
    log: list[str] = field(default_factory=list)
    """The end of its lines."""

    @property
    def last(self) -> int:
        """Steps done at its end, as far as its log tells."""
        return self.steps[-1][0] if self.steps else self.began

    @property
    def span(self) -> tuple[int, int]:
        """From which step to which it trained; of one that ended before it said so, where it should have begun."""
        return (self.began, self.last) if self.steps or self.began else (self.wanted or 0, self.wanted or 0)


class Course:
    """The attempts at one training, in their order."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.wanted: int | None = 0
        """What the next attempt should go on from."""

    @property
    def step(self) -> int:
        """Steps done."""
        return self.attempts[-1].last if self.attempts else 0

    def read(self, line: str) -> bool:
        """Take a line of the job's output in; whether it begins an attempt."""
        if _TRAINS.match(line):
            self.attempts.append(Attempt(wanted=self.wanted))
            return True
        if not self.attempts:
            return False
        attempt = self.attempts[-1]
        attempt.log = [*attempt.log[-_LOG_LINES:], line]
        if found := _STEP.match(line):
            attempt.steps.append((int(found[1]), found[2]))
        elif _LISTENS.search(line):
            attempt.listened = True
        elif found := _RESUMED.search(line):
            attempt.began = int(found[1])
        elif found := _SKIPPED.search(line):
            attempt.skipped.append(int(found[1]))
        elif found := _STOPPED.search(line):
            attempt.stopped = int(found[1])
        return False
