"""All training jobs of one root folder: those that run here, and those that ended, in whatever process."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.errors import JobStateError, LocalModeError, ResourceInUseError, UnknownJobError
from local_mode.instance.cleaning import remove_tree
from local_mode.jobs.create import create
from local_mode.jobs.folder import JobFolder, jobs_folder, root_lock
from local_mode.jobs.job import Job
from local_mode.jobs.listener import Both, Listener
from local_mode.jobs.record import FINAL, Record
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.rules import parse
from local_mode.jobs.store import Query, Store
from local_mode.jobs.task import Settings
from local_mode.runners.protocol import Runner

Choose = Callable[[str], Runner]
"""The runner for an image; raises LocalModeError where there is none."""
Listen = Callable[[TrainingJobRequest], Listener]
"""Who follows a job."""
TAGS = "Tags"
_LAST_ACTS_SECONDS = 30
"""From a job's final status to its thread's end: its container is removed meanwhile."""
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The tuning job that a training job is a part of."""

    arn: str
    follow: Listener
    """Told of the job's life beside who follows all jobs."""
    at_once: int
    """How many of its training jobs may run at a time."""


class Service:
    """Creates jobs and answers for them. Safe to use from several threads."""

    def __init__(self, *, root: Path, settings: Settings, choose: Choose, listen: Listen) -> None:
        self._root = root.resolve()
        self._settings, self._choose, self._listen = settings, choose, listen
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        self._beginning: Counter[str] = Counter()
        """Names of jobs that are being created."""
        self._store = Store(self._root)
        self._closing = False

    def create(self, document: Document, parent: Parent | None = None) -> Document:
        """Start a job; its record.

        Raises:
            LocalModeError: it is refused; nothing of it is left.
        """
        request = parse(document)
        name = request.TrainingJobName
        with self._lock:
            if self._closing:
                raise LocalModeError("local_mode is ending and starts no more jobs; start it again.")
            self._beginning[name] += 1
        try:
            return self._create(request, name, parent)
        finally:
            with self._lock:
                self._beginning -= Counter([name])

    def _create(self, request: TrainingJobRequest, name: str, parent: Parent | None) -> Document:
        if (known := self._find(name)) is not None and self._folder(name).path.exists():
            raise ResourceInUseError(_taken(known["TrainingJobArn"]))
        runner = self._choose(request.AlgorithmSpecification.TrainingImage)
        listener = self._listen(request)
        job = create(
            request,
            runner=runner,
            root=self._root,
            console=Both(listener, parent.follow) if parent else listener,
            settings=self._settings,
            tuning_job=parent.arn if parent else None,
            at_once=parent.at_once if parent else 1,
        )
        with self._lock:
            self._running[name] = job
            others = [other for other in self._running if other != name]
        for other in others:
            self._find(other)  # nobody else may ever ask for it
        if self._closing:
            job.stop()
        return job.describe()

    def describe(self, name: str) -> Document:
        """A job's record; not to be modified.

        Raises:
            UnknownJobError: there is none.
        """
        if (document := self._find(name)) is None:
            raise UnknownJobError(_unknown(name))
        return document

    def find(self, query: Query) -> list[Document]:
        """Summaries of the jobs that a query asks for.

        Raises:
            StoreError: the database cannot be read.
        """
        return self._store.find(query)

    def count(self, query: Query) -> dict[str, int]:
        """How many jobs of each status a query's filters leave.

        Raises:
            StoreError: the database cannot be read.
        """
        return self._store.count(query)

    def curves(self, name: str) -> Document:
        """How a job's metrics and channels went over time: `local_mode.jobs.trace` has the form."""
        with self._lock:
            job = self._running.get(name)
        return job.curves() if job else self._store.curves(name) or {}

    def stop(self, name: str) -> None:
        """Begin to stop a job; nothing more when that has begun.

        Raises:
            LocalModeError: there is none, it has ended, or another process runs it.
        """
        self._running_here(name).stop()

    def delete(self, name: str) -> None:
        """Remove an ended job's folder with all that is in it; its artifacts at S3OutputPath stay.

        Raises:
            LocalModeError: there is none, or it has not ended.
        """
        status = self.describe(name)["TrainingJobStatus"]
        if status not in FINAL:
            raise JobStateError(f"The request was rejected because the training job is in status {status}.")
        with self._lock:
            job = self._running.get(name)
        if job and not job.wait(_LAST_ACTS_SECONDS):
            raise JobStateError(f"Training job {name!r} has ended; its container is still being removed: try again.")
        with root_lock(self._root):
            remove_tree(self._folder(name).path)
            self._store.remove(name)
        if job:
            self._forget(name, job)

    def tag(self, name: str, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
        """Let `change` act upon a job's tags; those it has then.

        Raises:
            UnknownJobError: there is no such job.
        """
        with self._lock:
            job = self._running.get(name)
            record = job.record if job else Record.load(self._store, self._folder(name).record, name, time.time)
            if record is None:
                raise UnknownJobError(_unknown(name))
            tags = {tag["Key"]: tag["Value"] for tag in record.describe().get(TAGS) or ()}
            untouched = dict(tags)
            change(tags)
            if tags != untouched:
                if job is None and record.status not in FINAL:
                    raise JobStateError(_elsewhere(name))
                record.amend(**{TAGS: [{"Key": key, "Value": value} for key, value in tags.items()]})
        return tags

    def amend(self, name: str, fields: Document) -> None:
        """Change fields of a running job's record that are no part of its life.

        Raises:
            LocalModeError: there is none, it has ended, or another process runs it.
        """
        self._running_here(name).record.amend(**fields, LastModifiedTime=time.time())

    def close(self, *, kill: bool = False) -> list[str]:
        """Stop every job, or kill them; names of those that have not ended yet. Call it until there are none."""
        with self._lock:
            self._closing = True
            jobs, beginning = dict(self._running), list(self._beginning)
        for job in jobs.values():
            if kill:
                job.kill()
            else:
                job.stop()
        going = [name for name, job in jobs.items() if not job.wait(0)]
        return list(dict.fromkeys([*going, *beginning]))

    def folder(self, name: str) -> JobFolder:
        """Where a job's files are.

        Raises:
            UnknownJobError: there is no such job.
        """
        return self._folder(str(self.describe(name)["TrainingJobName"]))

    def _running_here(self, name: str) -> Job:
        status = self.describe(name)["TrainingJobStatus"]
        if status in FINAL:
            raise JobStateError(f"The request was rejected because the training job is in status {status}.")
        with self._lock:
            job = self._running.get(name)
        if job is None:
            raise JobStateError(_elsewhere(name))
        return job

    def _folder(self, name: str) -> JobFolder:
        return JobFolder(path=jobs_folder(self._root) / name)

    def _find(self, name: str) -> Document | None:
        with self._lock:
            job = self._running.get(name)
        if job is None:
            return self._store.get(name)
        if job.wait(0) and (stored := self._store.get(name)) is not None and stored["TrainingJobStatus"] in FINAL:
            self._forget(name, job)  # not when its end could not be stored: then only its handle knows of it
        return job.describe()

    def _forget(self, name: str, job: Job) -> None:
        """Let an ended job go; the name may be another one's by now."""
        with self._lock:
            if self._running.get(name) is job:
                del self._running[name]


def _unknown(name: str) -> str:
    return f"No training job is called {name!r}."


def _elsewhere(name: str) -> str:
    return f"Training job {name!r} runs in another local_mode; stop or change it there."


def _taken(arn: str) -> str:
    return (
        "Training job names must be unique within an AWS account and region, and a training job with this name "
        f"already exists ({arn})"
    )
