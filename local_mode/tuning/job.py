"""A tuning job's life, in a thread of its own: training jobs are started, followed, stopped and counted."""

import contextlib
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from local_mode.errors import JobStateError, LocalModeError, UnknownJobError
from local_mode.jobs.folder import JobFolder
from local_mode.jobs.service import Parent
from local_mode.tuning.child import Child
from local_mode.tuning.endings import End
from local_mode.tuning.log_hint import hint
from local_mode.tuning.median import is_hopeless
from local_mode.tuning.plan import Plan
from local_mode.tuning.state import State
from local_mode.tuning.strategies import choose
from local_mode.tuning.trial import FAILED, FINAL, STOPPED, Seen, Trial

_LOOK_SECONDS = 1.0
"""Between two looks when no training job says anything."""
_BREATH_SECONDS = 0.02
"""Between two looks when they say much."""
_LOG_BYTES = 1 << 20
"""Of a log's end, to be looked through for a line."""
Document = dict[str, Any]


class Jobs(Protocol):
    """What a tuning job needs of training jobs; `local_mode.jobs.service` has it."""

    def create(self, document: Document, parent: Parent | None = None) -> Document:
        """Start a training job; its record."""
        ...

    def describe(self, name: str) -> Document:
        """A training job's record."""
        ...

    def stop(self, name: str) -> None:
        """Begin to stop a training job."""
        ...

    def curves(self, name: str) -> Document:
        """How a training job's metrics went over time."""
        ...

    def folder(self, name: str) -> JobFolder:
        """Where a training job's files are."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a tuning job goes by."""

    plan: Plan
    jobs: Jobs
    parents: Sequence[Seen]
    """Trials of the tuning jobs that it begins with."""
    note: Callable[[str], None]
    """Told what whoever runs the service should know."""


class TuningJob:
    """A tuning job that goes on. What is stored of its state is the truth; this is the handle of its owner."""

    def __init__(self, task: Task, state: State) -> None:
        self.state = state
        self._task, self._plan, self._jobs = task, task.plan, task.jobs
        self._wake = threading.Event()
        self._leaves = False
        self._judged: dict[str, int] = {}
        """Points of running training jobs that early stopping has looked at."""
        # Not a daemon: what it has begun to start is to be known to the store.
        self._thread = threading.Thread(target=self._live, name=task.plan.name)

    def start(self) -> None:
        """Begin, or go on; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """StopHyperParameterTuningJob. Returns at once; nothing when it has ended."""
        self.state.decide(End(status=STOPPED))
        self._wake.set()

    def leave(self) -> None:
        """Start nothing more, and leave the tuning job as it is for the next service. Returns at once."""
        self._leaves = True
        self._wake.set()

    def wait(self, timeout: float) -> bool:
        """Whether its thread has ended, within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _live(self) -> None:
        try:
            try:
                self._act()
            except LocalModeError as error:
                self.state.decide(End(status=FAILED, reason=f"ClientError: {error}"))
                self._act()
        except Exception as error:  # noqa: BLE001  # the outermost frame of this thread: the tuning job must end and say so
            self._note(traceback.format_exc())
            self.state.break_off(End(status=FAILED, reason=f"InternalServerError: {type(error).__name__}: {error}"))
            for trial in self.state.running():
                with contextlib.suppress(LocalModeError):  # told of already
                    self._jobs.stop(trial.name)

    def _act(self) -> None:
        """Everything up to the end, or until it is to be left."""
        while not self._leaves:
            self._settle()
            end = self.state.end(self._hint)
            if end is None:
                self._stop_the_worse()
                self._fill_up()
            elif running := self.state.running():
                for trial in running:
                    self._stop(trial)
            else:
                self._conclude(end)
                return
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
            time.sleep(_BREATH_SECONDS)

    def _settle(self) -> None:
        """Take in what became of the training jobs."""
        for trial in self.state.running():
            try:
                found = self._jobs.describe(trial.name)
            except UnknownJobError:
                # Without an ARN it was chosen by a service that was killed before it could start it.
                if not trial.arn:
                    continue
                found = {"TrainingJobStatus": STOPPED, "TrainingJobArn": trial.arn}  # removed by its owner
            if found["TrainingJobStatus"] in FINAL:
                self._ended(trial, found)
            else:
                self.state.observe(trial, found)

    def _ended(self, trial: Trial, found: Document) -> None:
        metric = self._plan.definitions[trial.definition].objective.metric
        final = {item["MetricName"]: item["Value"] for item in found.get("FinalMetricDataList") or ()}
        if not trial.points:  # of a service that was killed: the curve is what is left of them
            curves = self._jobs.curves(trial.name).get("Metrics") or {}
            trial.points = [value for _, value in curves.get(metric) or ()]
        self.state.ended(trial, found, final.get(metric, trial.points[-1] if trial.points else None))
        value = "no value" if trial.objective is None else trial.objective
        self._note(f"{trial.name} is {trial.status}, {metric}: {value}")

    def _conclude(self, end: End) -> None:
        try:
            self.state.conclude(end)
        except OSError as error:
            self._note(f"cannot write {error.filename}: {error.strerror}; the database alone has this tuning job")
        self._note(f"{end.status}{f' - {end.reason}' if end.reason else ''}")

    def _stop_the_worse(self) -> None:
        """Early stopping, point by point of the training jobs that run."""
        for trial in self.state.running():
            points = list(trial.points)
            for epoch in range(self._judged.get(trial.name, 0) + 1, len(points) + 1):
                if self._is_worse(trial, points[:epoch]):
                    self._note(f"{trial.name} is stopped after point {epoch} of its metric, others were better by then")
                    self._stop(trial)
                    break
            self._judged[trial.name] = len(points)

    def _is_worse(self, trial: Trial, points: Sequence[float]) -> bool:
        definition = self._plan.definitions[trial.definition]
        others = [each for each in self.state.trials() if each is not trial and each.definition == trial.definition]
        if definition.hyperband:
            return definition.hyperband.is_beaten(points, [each.points for each in others], definition.objective)
        earlier = [each.points for each in others if each.objective_status == "Succeeded"]
        return self._plan.early_stopping and is_hopeless(points, earlier, definition.objective)

    def _stop(self, trial: Trial) -> None:
        try:
            self._jobs.stop(trial.name)
        except UnknownJobError:
            if not trial.arn:
                self.state.drop(trial)
        except JobStateError:
            self._wake.set()  # it has ended meanwhile

    def _fill_up(self) -> None:
        """Start training jobs until as many run as may: first those that were chosen and not started."""
        for trial in self.state.running():
            if not trial.arn:
                self._begin(trial)
        while not self._leaves:
            trials, going = self.state.trials(), self.state.running()
            if len(going) >= self._plan.parallel or len(trials) >= self._plan.jobs:
                return
            index, values = choose(self._plan, trials, self._task.parents, self.state.seed)
            number = len(trials) + 1
            name = f"{self._plan.name}-{number:03}-{uuid.uuid4().hex[:8]}"
            trial = Trial(number=number, definition=index, name=name, values=values)
            self.state.add(trial)
            self._begin(trial)

    def _begin(self, trial: Trial) -> None:
        definition = self._plan.definitions[trial.definition]
        request = definition.request(trial.name, trial.values, list(self._plan.tags))
        child = Child(trial, definition.objective.metric, self._wake)
        try:
            parent = Parent(arn=self.state.arn, follow=child, at_once=min(self._plan.parallel, self._plan.jobs))
            found = self._jobs.create(request, parent)
        except LocalModeError:
            if self._leaves:
                return  # it is the next service's to start
            self.state.drop(trial)
            raise
        self.state.started(trial, found)

    def _hint(self, trial: Trial) -> str:
        definition = self._plan.definitions[trial.definition]
        metric = definition.objective.metric
        known = definition.document["AlgorithmSpecification"].get("MetricDefinitions") or ()
        regex = next((item["Regex"] for item in known if item["Name"] == metric), "")
        return hint(metric, regex, _last_lines(self._jobs.folder(trial.name).logs), trial.name)

    def _note(self, text: str) -> None:
        self._task.note(f"{self._plan.name}: {text}")


def _last_lines(logs: Path) -> list[str]:
    """The ends of all hosts' logs."""
    lines: list[str] = []
    for path in sorted(logs.glob("*.log")):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines += file.read().decode("utf-8", "replace").splitlines()
    return lines
