"""All experiments, trials and trial components of one root folder."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from local_mode.errors import LocalModeError, UnknownEntityError, UnknownJobError
from local_mode.experiments.component import JOB, SUFFIX, SUMMARIES, TAGS, shown
from local_mode.experiments.store import COMPONENT, EXPERIMENT, TRIAL, Entities, ExperimentStore
from local_mode.jobs.summary import Summary

Document = dict[str, Any]
NAMES = {EXPERIMENT: "ExperimentName", TRIAL: "TrialName", COMPONENT: "TrialComponentName"}
ARNS = {EXPERIMENT: "ExperimentArn", TRIAL: "TrialArn", COMPONENT: "TrialComponentArn"}
_WORDS = {EXPERIMENT: "Experiment", TRIAL: "Trial", COMPONENT: "Trial component"}
_NAME_LENGTH = 120
_MOST_COMPONENTS, _MOST_TRIALS = 50, 10
"""Documented: of a trial, and of a component that no job made."""


class Jobs(Protocol):
    """What components need of training jobs."""

    def describe(self, name: str) -> Document:
        """A job's record."""
        ...

    def curves(self, name: str) -> Document:
        """How its metrics went."""
        ...


class Experiments:
    """Creates, changes and tells of them. Safe to use from several threads."""

    def __init__(self, *, root: Path, jobs: Jobs, region: str, account: str) -> None:
        self._store, self._jobs = ExperimentStore(root.resolve()), jobs
        self._prefix = f"arn:aws:sagemaker:{region}:{account}"

    def create(self, kind: str, request: Document) -> Document:
        """A new one; what is stored of it.

        Raises:
            LocalModeError: its name is taken, or its experiment is not there.
        """
        with self._store.writing() as entities:
            if kind == TRIAL:
                self._need(entities, EXPERIMENT, request[NAMES[EXPERIMENT]])
            return self._add(entities, kind, request)

    def describe(self, kind: str, name: str) -> Document:
        """One of them, as it is answered.

        Raises:
            UnknownEntityError: there is none.
        """
        with self._store.reading() as entities:
            document = self._need(entities, kind, name)
        return self._shown(kind, document)

    def all(self, kind: str) -> list[Document]:
        """All of a kind, as they are answered, oldest first."""
        with self._store.reading() as entities:
            found = entities.all(kind)
        return [self._shown(kind, document) for document in found]

    def found(self, kind: str) -> Iterator[Document]:
        """All of a kind, as Search shows them: with tags, and with what they belong to."""
        with self._store.reading() as entities:
            documents = entities.all(kind)
            trials = {trial["TrialName"]: trial["ExperimentName"] for trial in entities.all(TRIAL)}
            parents = {
                name: entities.trials_of(name) for name in (each.get(NAMES[COMPONENT]) for each in documents) if name
            }
        for document in documents:
            more: Document = {"Tags": document.get(TAGS) or []}
            if kind == COMPONENT:
                more["Parents"] = [
                    {"TrialName": trial, "ExperimentName": trials[trial]}
                    for trial in parents[document[NAMES[COMPONENT]]]
                    if trial in trials
                ]
            yield {**self._shown(kind, document), **more}

    def update(self, kind: str, name: str, change: Callable[[Document], None]) -> Document:
        """Let `change` act upon what is stored of one; that.

        Raises:
            UnknownEntityError: there is none.
        """
        with self._store.writing() as entities:
            document = self._need(entities, kind, name)
            change(document)
            document["LastModifiedTime"] = time.time()
            entities.put(kind, name, document)
            return document

    def delete(self, kind: str, name: str) -> Document:
        """Remove one that nothing belongs to any more; what was stored of it.

        Raises:
            LocalModeError: there is none, or something belongs to it.
        """
        with self._store.writing() as entities:
            document = self._need(entities, kind, name)
            if kind == EXPERIMENT and any(trial["ExperimentName"] == name for trial in entities.all(TRIAL)):
                raise LocalModeError(f"Experiment {name} has trials; delete them first.")
            if kind == TRIAL and entities.components_of(name):
                raise LocalModeError(f"Trial {name} has trial components; disassociate them first.")
            if kind == COMPONENT and entities.trials_of(name):
                raise LocalModeError(f"Trial component {name} belongs to a trial; disassociate it first.")
            entities.remove(kind, name)
            return document

    def associate(self, trial: str, component: str) -> tuple[str, str]:
        """Let a component belong to a trial; the ARNs of both. A training job that has no component yet gets it.

        Raises:
            LocalModeError: one is not there, or there are too many.
        """
        job = component.removesuffix(SUFFIX)
        is_jobs = job != component and self._is_job(job)
        with self._store.writing() as entities:
            if is_jobs and entities.get(COMPONENT, component) is None:
                self._need(entities, TRIAL, trial)
                self._add(entities, COMPONENT, {NAMES[COMPONENT]: component, JOB: job})
            return self._associate(entities, trial, component)

    def disassociate(self, trial: str, component: str) -> tuple[str, str]:
        """Let it no longer; the ARNs of both.

        Raises:
            UnknownEntityError: one is not there.
        """
        with self._store.writing() as entities:
            arns = self._arns(entities, trial, component)
            entities.disassociate(trial, component)
            return arns

    def trials_of(self, component: str) -> list[str]:
        """The names of the trials that a component belongs to."""
        with self._store.reading() as entities:
            return entities.trials_of(component)

    def components_of(self, trial: str) -> list[str]:
        """The names of the components that belong to a trial."""
        with self._store.reading() as entities:
            return entities.components_of(trial)

    def put_metrics(self, component: str, points: list[tuple[str, float, float]]) -> None:
        """Add points to a component: name, value, time in seconds since 1970.

        Raises:
            UnknownEntityError: there is none.
        """

        def add(document: Document) -> None:
            kept = document.setdefault(SUMMARIES, {})
            for name, value, at in points:
                summary = Summary(**kept[name]) if name in kept else Summary()
                summary.add(value, at)
                kept[name] = asdict(summary)

        self.update(COMPONENT, component, add)

    def check(self, config: Document) -> None:
        """Refuse an ExperimentConfig that names what is not there.

        Raises:
            LocalModeError: which.
        """
        with self._store.reading() as entities:
            if name := config.get("ExperimentName"):
                self._need(entities, EXPERIMENT, name)
            if name := config.get("TrialName"):
                experiment = self._need(entities, TRIAL, name)["ExperimentName"]
                if config.get("ExperimentName") not in (None, experiment):
                    raise LocalModeError(f"Trial {name} is of experiment {experiment}, not {config['ExperimentName']}.")
            if name := config.get("RunName"):
                self._need(entities, COMPONENT, name)

    def follow(self, record: Document) -> None:
        """Make the component of a training job that was just created, and associate it as its request says."""
        config, job = record["ExperimentConfig"], record["TrainingJobName"]
        name = f"{job}{SUFFIX}"
        with self._store.writing() as entities:
            for trial in entities.trials_of(name):  # of a deleted job whose name this one has
                entities.disassociate(trial, name)
            entities.remove(COMPONENT, name)
            request = {NAMES[COMPONENT]: name, "DisplayName": config.get("TrialComponentDisplayName"), JOB: job}
            self._add(entities, COMPONENT, {key: value for key, value in request.items() if value})
            trial = config.get("TrialName")
            if not trial and (experiment := config.get("ExperimentName")):
                trial = f"{name}-trial"[:_NAME_LENGTH]
                if entities.get(TRIAL, trial) is None:
                    self._add(entities, TRIAL, {"TrialName": trial, "ExperimentName": experiment})
            if trial:
                self._associate(entities, trial, name)

    def remember(self, job: str) -> Document | None:
        """What a training job's component says, for `keep`; None where it has none."""
        try:
            return self.describe(COMPONENT, f"{job}{SUFFIX}")
        except UnknownEntityError:
            return None

    def keep(self, job: str, said: Document) -> None:
        """Have the component of a training job that was deleted go on to say what it said."""

        def freeze(document: Document) -> None:
            for name in (JOB, SUMMARIES):
                document.pop(name, None)
            document.update(said)

        with contextlib.suppress(UnknownEntityError):  # deleted in this very moment
            self.update(COMPONENT, f"{job}{SUFFIX}", freeze)

    def of_arn(self, arn: str) -> tuple[str, str]:
        """Kind and name of what has an ARN.

        Raises:
            UnknownEntityError: nothing has.
        """
        kind = arn.rpartition(":")[2].partition("/")[0]
        if kind in NAMES:
            with self._store.reading() as entities:
                for document in entities.all(kind):
                    if document[ARNS[kind]] == arn:
                        return kind, document[NAMES[kind]]
        raise UnknownEntityError(f"'{arn}' does not exist.")

    def tag(self, arn: str, change: Callable[[dict[str, str]], None]) -> dict[str, str]:
        """Let `change` act upon the tags of what has an ARN; those it has then.

        Raises:
            UnknownEntityError: nothing has.
        """
        kind, name = self.of_arn(arn)
        tags: dict[str, str] = {}

        def act(document: Document) -> None:
            tags.update({tag["Key"]: tag["Value"] for tag in document.get(TAGS) or ()})
            change(tags)
            document[TAGS] = [{"Key": key, "Value": value} for key, value in tags.items()]

        self.update(kind, name, act)
        return tags

    def _add(self, entities: Entities, kind: str, request: Document) -> Document:
        name, now = request[NAMES[kind]], time.time()
        arn = self._arn(kind, name)
        if entities.get(kind, name) is not None:
            raise LocalModeError(
                f"{_WORDS[kind]} names must be unique within an AWS account and region. "
                f"{_WORDS[kind]} with name ({name}) already exists."
            )
        times = {"CreationTime": now, "LastModifiedTime": now}
        document = {ARNS[kind]: arn, "DisplayName": name, **request, **times}
        entities.put(kind, name, document)
        return document

    def _associate(self, entities: Entities, trial: str, component: str) -> tuple[str, str]:
        arns = self._arns(entities, trial, component)
        if len(set(entities.components_of(trial)) | {component}) > _MOST_COMPONENTS:
            raise LocalModeError(
                f"Trial {trial} has {_MOST_COMPONENTS} trial components, which is the most there may be."
            )
        if len(set(entities.trials_of(component)) | {trial}) > _MOST_TRIALS:
            raise LocalModeError(
                f"Trial component {component} belongs to {_MOST_TRIALS} trials, the most there may be."
            )
        entities.associate(trial, component)
        return arns

    def _arns(self, entities: Entities, trial: str, component: str) -> tuple[str, str]:
        return (
            self._need(entities, TRIAL, trial)[ARNS[TRIAL]],
            self._need(entities, COMPONENT, component)[ARNS[COMPONENT]],
        )

    def _is_job(self, name: str) -> bool:
        try:
            self._jobs.describe(name)
        except UnknownJobError:
            return False
        return True

    def _need(self, entities: Entities, kind: str, name: str) -> Document:
        if (document := entities.get(kind, name)) is None:
            raise UnknownEntityError(f"{_WORDS[kind]} '{self._arn(kind, name)}' does not exist.")
        return document

    def _shown(self, kind: str, document: Document) -> Document:
        if kind != COMPONENT:
            return {name: value for name, value in document.items() if name != TAGS}
        if not (job := document.get(JOB)):
            return shown(document, None, {})
        try:
            record = self._jobs.describe(job)
        except UnknownJobError:
            return shown(document, None, {})
        return shown(document, record, self._jobs.curves(job).get("Summaries") or {})

    def _arn(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}/{name.lower()}"
