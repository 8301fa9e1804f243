"""Trains a job uninterrupted, then the same one interrupted again and again, and follows both."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainjob.training import checkpoint

from local_mode.errors import JobStateError
from local_mode.jobs.interrupt import interrupt
from scripts.drilling.checking import Outcome
from scripts.drilling.course import Course
from scripts.drilling.job import SILENCE_SECONDS, DrillError, Order, Running, running
from scripts.drilling.moments import GRACEFUL, Kind, Moment
from scripts.drilling.show import Show

WHOLE, PARTS = "uninterrupted", "interrupted"
_MORE_JOBS = 3
"""Than there are moments; more would mean that it never ends."""


def run(order: Order, draw: Callable[[int], Sequence[Moment]], show: Show) -> Outcome:
    """Both trainings; `draw` gives the moments for a training of so many steps.

    Raises:
        DrillError: A job failed, or did not end.
    """
    order.prepare()
    show.begin(WHOLE, order.steps)
    whole = _Follower(order, show, [])
    first = whole.train(WHOLE)
    show.begin(PARTS, order.steps)
    moments = draw(order.steps)
    parts = _Follower(order, show, moments, whole.to_first_step)
    last = parts.train(PARTS)
    show.end()
    interrupted = sum(attempt.ended_by is not None for attempt in parts.course.attempts)
    if interrupted < len(moments):
        raise DrillError(f"The job was over after {interrupted} of {len(moments)} interruptions; give it more epochs.")
    return Outcome(
        steps=order.steps, whole=whole.course, course=parts.course, weights=(order.weights(first), order.weights(last))
    )


@dataclass
class _Armed:
    """The next moment, and when it has come."""

    moment: Moment
    at: float = math.inf


class _Follower:
    """Runs jobs of one label, one after the other, until one has come to its end."""

    def __init__(self, order: Order, show: Show, moments: Sequence[Moment], to_first_step: float = 0.0) -> None:
        self._order, self._show, self._moments = order, show, deque(moments)
        self._count = len(moments)
        self.course = Course()
        self.to_first_step = to_first_step
        """Seconds from an attempt's beginning to its first step."""
        self._begun = 0.0
        self._armed: _Armed | None = None

    def train(self, label: str) -> str:
        """Train to the end; the name of the last job."""
        for number in range(1, self._count + 1 + _MORE_JOBS):
            name = f"{label}-{number}"
            with running(self._order, name, label) as job:
                if self._follow(job, label):
                    return name
        raise DrillError(f"The job is not done after {number} jobs; see {self._order.root}.")

    def _follow(self, job: Running, label: str) -> bool:
        """One job to its end; whether it trained to the end."""
        ended_by: Kind | None = None
        while True:
            fires = self._armed.at if self._armed else math.inf
            try:
                line = job.line(min(SILENCE_SECONDS, fires - time.monotonic()))
            except TimeoutError:
                if self._armed is None or time.monotonic() < fires:
                    raise DrillError(f"{job.name} said nothing for {SILENCE_SECONDS:.0f} s.{self._log()}") from None
                ended_by = self._fire(job, self._armed)
                continue
            if line is None:
                break
            self._read(line)
        code = job.exit_code()
        if code == 0:
            return True
        if ended_by in (Kind.KILL, Kind.TEAR):
            self.course.wanted = _newest(self._order.checkpoints(label), torn=ended_by is Kind.TEAR)
        elif ended_by is not Kind.STOP or code != 2:
            raise DrillError(f"{job.name} ended with exit code {code}.{self._log()}")
        return False

    def _read(self, line: str) -> None:
        before = self.course.step
        if self.course.read(line):
            self._begin()
        if self.course.step == before or not self.course.attempts[-1].steps:
            return
        self._show.step(self.course.step)
        attempt = self.course.attempts[-1]
        if not self.to_first_step:
            self.to_first_step = time.monotonic() - self._begun
        if attempt.ended_by in GRACEFUL:
            self.course.wanted = attempt.last
        armed = self._armed
        if armed and armed.moment.early is not None:
            armed.at = time.monotonic()  # the machine is faster than it was
        elif armed and armed.at == math.inf and attempt.last >= armed.moment.step:
            armed.at = time.monotonic() + armed.moment.delay

    def _begin(self) -> None:
        """An attempt has begun: the next moment is armed for it."""
        self._begun = time.monotonic()
        number = len(self.course.attempts)
        if number > 1:
            self._show.line(f"attempt {number} begins; step {self.course.wanted} is the newest saved")
        if self._moments and self._armed is None:
            self._armed = _Armed(self._moments.popleft())
        if self._armed and self._armed.moment.early is not None:
            self._armed.at = self._begun + self._armed.moment.early * self.to_first_step

    def _fire(self, job: Running, armed: _Armed) -> Kind | None:
        """The moment has come; what has become of the job, None where it was over or its attempt was."""
        self._armed = None
        kind, attempt = armed.moment.kind, self.course.attempts[-1]
        if kind is Kind.SPOT:
            try:
                interrupt(self._order.root, job.name)
            except JobStateError:
                armed.at = math.inf  # it had just ended
                self._armed = armed
                return None
        elif kind is Kind.STOP:
            job.stop()
        else:
            job.kill()
        attempt.ended_by = kind
        done = sum(each.ended_by is not None for each in self.course.attempts)
        where = f"at step {attempt.last}" if attempt.steps else "before its first step"
        self._show.line(f"interruption {done} of {self._count}: {kind}, {where}")
        self.course.wanted = attempt.last if attempt.steps else self.course.wanted
        return None if kind is Kind.SPOT else kind

    def _log(self) -> str:
        lines = self.course.attempts[-1].log[-25:] if self.course.attempts else []
        return "".join(f"\n    {line}" for line in lines)


def _newest(folder: Path, *, torn: bool) -> int:
    """The step of the newest whole checkpoint, 0 without one; with `torn`, once the newest is cut to its half."""
    found = checkpoint.newest(folder)
    if found and torn:
        with found.path.open("r+b") as file:
            file.truncate(found.path.stat().st_size // 2)
        found = checkpoint.newest(folder)
    return found.step if found else 0
