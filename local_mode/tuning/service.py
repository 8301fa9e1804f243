"""All tuning jobs of one root folder: those that go on here, and those that ended, in whatever process."""

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_mode.errors import JobStateError, LocalModeError, ResourceInUseError, UnknownTuningJobError
from local_mode.jobs.rules import parse
from local_mode.jobs.store import Query
from local_mode.tuning import parents as warm
from local_mode.tuning.job import Jobs, Task, TuningJob
from local_mode.tuning.plan import Plan, plan
from local_mode.tuning.record import STATUS, first, summary
from local_mode.tuning.rules import broken
from local_mode.tuning.state import State
from local_mode.tuning.store import TuningStore
from local_mode.tuning.trial import FINAL, IN_PROGRESS, STOPPING

Document = dict[str, Any]
TAGS = "Tags"
_TAKEN = "A hyperparameter tuning job with the name, {}, already exists. Choose a different name."
_LAST_ACTS_SECONDS = 10
"""From a tuning job's final status to its thread's end."""


class Tuning:
    """Creates tuning jobs and answers for them. Safe to use from several threads."""

    def __init__(self, *, root: Path, jobs: Jobs, region: str, note: Callable[[str], None]) -> None:
        self._jobs, self._region, self._note = jobs, region, note
        self._store = TuningStore(root.resolve())
        self._lock = threading.Lock()
        self._going: dict[str, TuningJob] = {}
        self._closing = False

    def create(self, request: Document) -> Document:
        """Start a tuning job; its record.

        Raises:
            LocalModeError: it is refused; nothing of it is left.
        """
        if problems := broken(request):
            raise LocalModeError(" ".join(problems))
        wanted = plan(request)
        seed = wanted.seed if wanted.seed is not None else secrets.randbelow(1 << 31)
        for index in range(len(wanted.definitions)):
            _try_out(wanted, index)
        hints = [f"{name} is Autotune's ValueHint in all training jobs: no range is found" for name in wanted.hints]
        record = first(request, arn=self._arn(wanted), now=time.time(), seed=seed, notes=hints)
        with self._lock:
            if self._closing:
                raise LocalModeError("local_mode is ending and starts no more tuning jobs; start it again.")
            if self._store.get(wanted.name) is not None:
                raise ResourceInUseError(_TAKEN.format(wanted.name))
            parents = self._parents(wanted)
            if problems := list(warm.broken(wanted, parents)):
                raise LocalModeError(" ".join(problems))
            self._store.put(record)
            job = self._begin(record, parents)
        for text in hints:
            self._note(f"{wanted.name}: {text}")
        return job.state.describe()

    def resume(self) -> list[str]:
        """Go on with the tuning jobs that a service left or was killed in; their names."""
        left = [each for status in (IN_PROGRESS, STOPPING) for each in self._store.find(Query(status=status))]
        with self._lock:
            for record in left:
                self._begin(record, self._parents(plan(record), missing_is_fine=True))
        return [each["HyperParameterTuningJobName"] for each in left]

    def describe(self, name: str) -> Document:
        """A tuning job's record; not to be modified.

        Raises:
            UnknownTuningJobError: there is none.
        """
        if job := self._job(name):
            return job.state.describe()
        if (record := self._store.get(name)) is None:
            raise UnknownTuningJobError(name)
        return record

    def find(self, query: Query) -> list[Document]:
        """The records of the tuning jobs that a query asks for.

        Raises:
            StoreError: the database cannot be read.
        """
        return [self.describe(each["HyperParameterTuningJobName"]) for each in self._store.find(query)]

    def trials(self, name: str) -> list[Document]:
        """Summaries of a tuning job's training jobs, in the order in which they were begun.

        Raises:
            UnknownTuningJobError: there is no such tuning job.
        """
        record, job = self.describe(name), self._job(name)
        wanted = plan(record)
        return [
            {**summary(trial, wanted), "TuningJobName": name}
            for trial in (job.state.trials() if job else self._store.trials(name))
            if trial.arn
        ]

    def stop(self, name: str) -> None:
        """Begin to stop a tuning job and its training jobs; nothing more when that has begun.

        Raises:
            LocalModeError: there is none, or it has ended.
        """
        status, job = self.describe(name)[STATUS], self._job(name)
        if status in FINAL or job is None:
            raise JobStateError(f"The request was rejected because the tuning job is in status {status}.")
        job.stop()

    def delete(self, name: str) -> None:
        """Remove the entry of an ended tuning job; its training jobs stay.

        Raises:
            LocalModeError: there is none, or it has not ended.
        """
        status, job = self.describe(name)[STATUS], self._job(name)
        if status not in FINAL or (job and not job.wait(_LAST_ACTS_SECONDS)):
            raise JobStateError(f"The request was rejected because the tuning job is in status {status}.")
        with self._lock:
            self._going.pop(name, None)
            self._store.remove(name)

    def tag(self, name: str, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
        """Let `change` act upon a tuning job's tags; those it has then.

        Raises:
            UnknownTuningJobError: there is no such tuning job.
        """
        record, job = self.describe(name), self._job(name)
        tags = {tag["Key"]: tag["Value"] for tag in record.get(TAGS) or ()}
        untouched = dict(tags)
        change(tags)
        if tags != untouched:
            shown = [{"Key": key, "Value": value} for key, value in tags.items()]
            if job:
                job.state.amend(**{TAGS: shown})
            else:
                self._store.put({**record, TAGS: shown})
        return tags

    def close(self, timeout: float) -> list[str]:
        """Start nothing more, and leave tuning jobs to the next service; names of those that are still busy."""
        with self._lock:
            self._closing = True
            jobs = dict(self._going)
        for job in jobs.values():
            job.leave()
        deadline = time.monotonic() + timeout
        return [name for name, job in jobs.items() if not job.wait(max(0.0, deadline - time.monotonic()))]

    def _begin(self, record: Document, parents: list[warm.Parent]) -> TuningJob:
        wanted = plan(record)
        best = [parent.record["BestTrainingJob"] for parent in parents if parent.record.get("BestTrainingJob")]
        state = State(wanted, self._store, record, self._store.trials(wanted.name), best)
        job = TuningJob(Task(plan=wanted, jobs=self._jobs, parents=warm.learnt(parents), note=self._note), state)
        self._going[wanted.name] = job
        job.start()
        return job

    def _parents(self, wanted: Plan, *, missing_is_fine: bool = False) -> list[warm.Parent]:
        found = []
        for name in wanted.parents:
            record = self._store.get(name)
            if record is not None:
                found.append(warm.Parent(record=record, trials=self._store.trials(name)))
            elif not missing_is_fine:
                raise UnknownTuningJobError(name)
        return found

    def _job(self, name: str) -> TuningJob | None:
        """The handle of a tuning job that goes on here; one that has ended is let go."""
        with self._lock:
            job = self._going.get(name)
            if job and job.state.is_stored and job.wait(0):
                del self._going[name]
                return None
            return job

    def _arn(self, wanted: Plan) -> str:
        """As a training job's: lower-case name, and the role's account."""
        account = wanted.definitions[0].document["RoleArn"].split(":")[4]
        return f"arn:aws:sagemaker:{self._region}:{account}:hyper-parameter-tuning-job/{wanted.name.lower()}"


def _try_out(wanted: Plan, index: int) -> None:
    """Refuse now what every training job of a definition would be refused for."""
    definition = wanted.definitions[index]
    values = {each.name: each.write(0.5) for each in definition.space}
    parse(definition.request(f"{wanted.name}-001-00000000", values, list(wanted.tags)))
