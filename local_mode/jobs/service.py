"""All training jobs of one root folder: those that run here, and those that ended, in whatever process."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from local_mode.errors import JobStateError, LocalModeError, ResourceInUseError, UnknownJobError
from local_mode.instance.cleaning import remove_tree
from local_mode.jobs.create import create
from local_mode.jobs.execution import Settings
from local_mode.jobs.folder import JobFolder, jobs_folder, root_lock
from local_mode.jobs.job import Job
from local_mode.jobs.listener import Listener
from local_mode.jobs.record import FINAL, Record
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.rules import parse
from local_mode.runners.protocol import Runner

Choose = Callable[[str], Runner]
"""The runner for an image; raises LocalModeError where there is none."""
Listen = Callable[[TrainingJobRequest], Listener]
"""Who follows a job."""
TAGS = "Tags"
_LAST_ACTS_SECONDS = 10
"""From a job's final status to its thread's end."""
Document = dict[str, Any]


class Service:
    """Creates jobs and answers for them. Safe to use from several threads."""

    def __init__(self, *, root: Path, settings: Settings, choose: Choose, listen: Listen) -> None:
        self._root = root.resolve()
        self._settings, self._choose, self._listen = settings, choose, listen
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        self._ended: dict[str, Document] = {}
        """Records of jobs that cannot change any more; not to be modified."""
        self._closing = False

    def create(self, document: Document) -> Document:
        """Start a job; its record.

        Raises:
            LocalModeError: it is refused; nothing of it is left.
        """
        request = parse(document)
        name = request.TrainingJobName
        if self._closing:
            raise LocalModeError("local_mode is ending and starts no more jobs; start it again.")
        if (known := self._find(name)) is not None:
            raise ResourceInUseError(_taken(known["TrainingJobArn"]))
        runner = self._choose(request.AlgorithmSpecification.TrainingImage)
        listener = self._listen(request)
        job = create(request, runner=runner, root=self._root, console=listener, settings=self._settings)
        with self._lock:
            self._running[name] = job
        if self._closing:
            job.stop()
        return job.describe()

    def describe(self, name: str) -> Document:
        """A job's record; not to be modified.

        Raises:
            UnknownJobError: there is none.
        """
        if (document := self._find(name)) is None:
            raise UnknownJobError(f"No training job is called {name!r}.")
        return document

    def all(self) -> list[Document]:
        """Every job's record; not to be modified."""
        return [document for name in self._names() if (document := self._find(name)) is not None]

    def stop(self, name: str) -> None:
        """Begin to stop a job; nothing more when that has begun.

        Raises:
            LocalModeError: there is none, it has ended, or another process runs it.
        """
        status = self.describe(name)["TrainingJobStatus"]
        if status in FINAL:
            raise JobStateError(f"The request was rejected because the training job is in status {status}.")
        with self._lock:
            job = self._running.get(name)
        if job is None:
            raise JobStateError(f"Training job {name!r} runs in another local_mode; stop it there.")
        job.stop()

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
        if job:
            job.wait(_LAST_ACTS_SECONDS)
        with root_lock(self._root):
            remove_tree(self._folder(name).path)
        with self._lock:
            self._running.pop(name, None)
            self._ended.pop(name, None)

    def tag(self, name: str, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
        """Let `change` act upon a job's tags; those it has then.

        Raises:
            UnknownJobError: there is no such job.
        """
        before = self.describe(name)
        with self._lock:
            job = self._running.get(name)
            record = job.record if job else Record.load(self._folder(name).record, time.time)
            tags = {tag["Key"]: tag["Value"] for tag in record.describe().get(TAGS) or ()}
            untouched = dict(tags)
            change(tags)
            if tags != untouched:
                record.amend(**{TAGS: [{"Key": key, "Value": value} for key, value in tags.items()]})
                if before["TrainingJobName"] in self._ended:
                    self._ended[name] = record.describe()
        return tags

    def close(self, *, kill: bool = False) -> list[str]:
        """Stop every job, or kill them; names of those that have not ended yet. Call it until there are none."""
        self._closing = True
        with self._lock:
            jobs = dict(self._running)
        for job in jobs.values():
            if kill:
                job.kill()
            else:
                job.stop()
        return [name for name, job in jobs.items() if not job.wait(0)]

    def _folder(self, name: str) -> JobFolder:
        return JobFolder(path=jobs_folder(self._root) / name)

    def _names(self) -> Iterator[str]:
        with self._lock:
            names = {*self._ended, *self._running}
        if jobs_folder(self._root).is_dir():
            names |= {path.name for path in jobs_folder(self._root).iterdir()}
        return iter(names)

    def _find(self, name: str) -> Document | None:
        with self._lock:
            job, ended = self._running.get(name), self._ended.get(name)
        if ended is not None:
            return ended
        document = job.describe() if job else self._stored(name)
        if document is None or document["TrainingJobStatus"] not in FINAL or (job and not job.wait(0)):
            return document
        with self._lock:
            self._running.pop(name, None)
            return self._ended.setdefault(name, document)

    def _stored(self, name: str) -> Document | None:
        try:
            return Record.load(self._folder(name).record, time.time).describe()
        except (OSError, json.JSONDecodeError):
            return None  # no job, or one whose maker was killed before there was a record


def _taken(arn: str) -> str:
    return (
        "Training job names must be unique within an AWS account and region, and a training job with this name "
        f"already exists ({arn})"
    )
