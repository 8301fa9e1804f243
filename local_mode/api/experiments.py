"""SageMaker's operations on experiments, trials, trial components and Search, from request to answer."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from local_mode.api.validation import answered, check, members
from local_mode.api.wire import ApiError
from local_mode.errors import LocalModeError, UnknownEntityError
from local_mode.experiments import search
from local_mode.experiments.service import ARNS, NAMES
from local_mode.experiments.store import COMPONENT, EXPERIMENT, TRIAL
from local_mode.jobs.store import Query

Document = dict[str, Any]
Change = Callable[[dict[str, str]], None]
ARN_KINDS = tuple(f":{kind}/" for kind in NAMES)
_KINDS = {"Experiment": EXPERIMENT, "Trial": TRIAL, "TrialComponent": COMPONENT}
_RESOURCES = {"Experiment": EXPERIMENT, "ExperimentTrial": TRIAL, "ExperimentTrialComponent": COMPONENT}
_JOBS = "TrainingJob"
_PAGE = 10
_MOST_MAP = {"Parameters": 300, "InputArtifacts": 60, "OutputArtifacts": 60}
_REMOVALS = {"ParametersToRemove": "Parameters", "InputArtifactsToRemove": "InputArtifacts",
             "OutputArtifactsToRemove": "OutputArtifacts"}  # fmt: skip


class ExperimentRecords(Protocol):
    """What the handlers need; `local_mode.experiments.service` has it."""

    def create(self, kind: str, request: Document) -> Document:
        """A new one."""
        ...

    def describe(self, kind: str, name: str) -> Document:
        """One of them."""
        ...

    def all(self, kind: str) -> list[Document]:
        """All of a kind."""
        ...

    def found(self, kind: str) -> Iterable[Document]:
        """All of a kind, as Search shows them."""
        ...

    def update(self, kind: str, name: str, change: Callable[[Document], None]) -> Document:
        """Change one."""
        ...

    def delete(self, kind: str, name: str) -> Document:
        """Remove one."""
        ...

    def associate(self, trial: str, component: str) -> tuple[str, str]:
        """Let a component belong to a trial."""
        ...

    def disassociate(self, trial: str, component: str) -> tuple[str, str]:
        """Let it no longer."""
        ...

    def trials_of(self, component: str) -> list[str]:
        """The trials of a component."""
        ...

    def components_of(self, trial: str) -> list[str]:
        """The components of a trial."""
        ...

    def put_metrics(self, component: str, points: list[tuple[str, float, float]]) -> None:
        """Add points to a component."""
        ...

    def check(self, config: Document) -> None:
        """Refuse an ExperimentConfig that names what is not there."""
        ...

    def follow(self, record: Document) -> None:
        """Make the component of a training job."""
        ...

    def remember(self, job: str) -> Document | None:
        """What a training job's component says."""
        ...

    def keep(self, job: str, said: Document) -> None:
        """Have it go on to say that without the job."""
        ...

    def tag(self, arn: str, change: Change) -> dict[str, str]:
        """Change tags."""
        ...


class FoundJobs(Protocol):
    """What Search needs of training jobs."""

    def find(self, query: Query) -> list[Document]:
        """Summaries of the jobs that a query asks for."""
        ...

    def describe(self, name: str) -> Document:
        """A job's record."""
        ...


class ExperimentOperations:
    """The operations, by name."""

    def __init__(self, experiments: ExperimentRecords, jobs: FoundJobs) -> None:
        self._experiments, self._jobs = experiments, jobs
        self.operations: dict[str, Callable[[Document], Document | None]] = {
            "AssociateTrialComponent": lambda request: self._joined(request, experiments.associate),
            "DisassociateTrialComponent": lambda request: self._joined(request, experiments.disassociate),
            "UpdateTrialComponent": self._update_component,
            "ListExperiments": lambda request: _page(request, experiments.all(EXPERIMENT), "ExperimentSummaries"),
            "ListTrials": self._list_trials,
            "ListTrialComponents": self._list_components,
            "Search": self._search,
        }
        for word, kind in _KINDS.items():
            self._add(word, kind)

    def has(self, operation: str, document: Document) -> bool:
        """Whether an operation is answered here; Search among other things is not."""
        if operation == "Search":
            return document.get("Resource") in (*_RESOURCES, _JOBS)
        return operation in self.operations

    def put_metrics(self, request: Document) -> Document:
        """BatchPutMetrics, of the service that takes metrics.

        Raises:
            ApiError: the request is not as that service's model has it, or there is no such component.
        """
        check("BatchPutMetrics", request, service="sagemaker-metrics")
        points = [(each["MetricName"], each["Value"], each["Timestamp"]) for each in request["MetricData"]]
        if not all(math.isfinite(value) for _, value, _ in points):
            raise ApiError("ValidationException", "A metric's Value must be a finite number.")
        try:
            self._experiments.put_metrics(request["TrialComponentName"], points)
        except UnknownEntityError as error:
            raise ApiError("ResourceNotFoundException", str(error), 404) from None
        return {}

    def _add(self, word: str, kind: str) -> None:
        """Create, Describe, Update and Delete."""

        def create(request: Document) -> Document:
            return {ARNS[kind]: self._experiments.create(kind, request)[ARNS[kind]]}

        def describe(request: Document) -> Document:
            return answered(f"Describe{word}", self._experiments.describe(kind, request[NAMES[kind]]))

        def update(request: Document) -> Document:
            new = {key: value for key, value in request.items() if key != NAMES[kind]}
            changed = self._experiments.update(kind, request[NAMES[kind]], lambda document: document.update(new))
            return {ARNS[kind]: changed[ARNS[kind]]}

        def delete(request: Document) -> Document:
            return {ARNS[kind]: self._experiments.delete(kind, request[NAMES[kind]])[ARNS[kind]]}

        for verb, act in (("Create", create), ("Describe", describe), ("Update", update), ("Delete", delete)):
            self.operations.setdefault(f"{verb}{word}", act)

    def _joined(self, request: Document, act: Callable[[str, str], tuple[str, str]]) -> Document:
        trial, component = act(request[NAMES[TRIAL]], request[NAMES[COMPONENT]])
        return {ARNS[TRIAL]: trial, ARNS[COMPONENT]: component}

    def _update_component(self, request: Document) -> Document:
        def change(document: Document) -> None:
            for name, value in request.items():
                if name in _MOST_MAP:
                    document[name] = {**(document.get(name) or {}), **value}
                elif name not in _REMOVALS:
                    document[name] = value
            for name, place in _REMOVALS.items():
                for key in request.get(name) or ():
                    (document.get(place) or {}).pop(key, None)
            for name, most in _MOST_MAP.items():
                if len(document.get(name) or {}) > most:
                    raise LocalModeError(f"A trial component has at most {most} {name}.")

        changed = self._experiments.update(COMPONENT, request[NAMES[COMPONENT]], change)
        return {ARNS[COMPONENT]: changed[ARNS[COMPONENT]]}

    def _list_trials(self, request: Document) -> Document:
        found = self._experiments.all(TRIAL)
        if experiment := request.get(NAMES[EXPERIMENT]):
            self._experiments.describe(EXPERIMENT, experiment)  # refused where there is none
            found = [each for each in found if each[NAMES[EXPERIMENT]] == experiment]
        if component := request.get(NAMES[COMPONENT]):
            mine = set(self._experiments.trials_of(component))
            found = [each for each in found if each[NAMES[TRIAL]] in mine]
        return _page(request, found, "TrialSummaries")

    def _list_components(self, request: Document) -> Document:
        wanted = [name for name in (NAMES[EXPERIMENT], NAMES[TRIAL], "SourceArn") if request.get(name)]
        if len(wanted) > 1:
            raise LocalModeError(f"Only one of ExperimentName, TrialName and SourceArn may be given, not {wanted}.")
        found = self._experiments.all(COMPONENT)
        if source := request.get("SourceArn"):
            found = [each for each in found if (each.get("Source") or {}).get("SourceArn") == source]
        elif wanted:
            mine = set(self._components_of(request))
            found = [each for each in found if each[NAMES[COMPONENT]] in mine]
        return _page(request, found, "TrialComponentSummaries")

    def _components_of(self, request: Document) -> Iterator[str]:
        if trial := request.get(NAMES[TRIAL]):
            self._experiments.describe(TRIAL, trial)
            yield from self._experiments.components_of(trial)
            return
        self._experiments.describe(EXPERIMENT, request[NAMES[EXPERIMENT]])
        for each in self._experiments.all(TRIAL):
            if each[NAMES[EXPERIMENT]] == request[NAMES[EXPERIMENT]]:
                yield from self._experiments.components_of(each[NAMES[TRIAL]])

    def _search(self, request: Document) -> Document:
        resource, expression = request["Resource"], request.get("SearchExpression") or {}
        shape = resource.removeprefix("Experiment") or resource
        known = {name.lower() for name in members(shape)} | {"metrics"}
        for name in (*search.names(expression), *filter(None, [request.get("SortBy")])):
            if name.partition(".")[0].lower() not in known:
                raise ApiError("ValidationException", f"Unknown property name: {name}")
        if resource == _JOBS:
            found: Iterable[Document] = (
                self._jobs.describe(job["TrainingJobName"]) for job in self._jobs.find(Query())
            )
        else:
            found = self._experiments.found(_RESOURCES[resource])
        kept = [each for each in found if search.matches(expression, each)]
        backwards = request.get("SortOrder", "Descending") == "Descending"
        kept = search.ordered(kept, request.get("SortBy", "CreationTime"), backwards=backwards)
        shown = [{name: value for name, value in each.items() if name in members(shape)} for each in kept]
        return _cut(request, [{shape: each} for each in shown], "Results")


def _page(request: Document, found: list[Document], answer: str) -> Document:
    """What List operations share: bounds of time, order, pages."""
    after, before = request.get("CreatedAfter", -math.inf), request.get("CreatedBefore", math.inf)
    found = [each for each in found if after < each["CreationTime"] < before]
    if request.get("SortBy") == "Name":
        name = {"ExperimentSummaries": EXPERIMENT, "TrialSummaries": TRIAL}.get(answer, COMPONENT)
        found = sorted(found, key=lambda each: str(each[NAMES[name]]))
    else:
        found = sorted(found, key=lambda each: float(each["CreationTime"]))
    if request.get("SortOrder", "Descending") == "Descending":
        found.reverse()
    return _cut(request, found, answer)


def _cut(request: Document, found: list[Document], answer: str) -> Document:
    begin, most = _begin(request), request.get("MaxResults", _PAGE)
    document: Document = {answer: found[begin : begin + most]}
    if len(found) > begin + most:
        token = json.dumps([begin + most, _filters(request)])
        document["NextToken"] = base64.urlsafe_b64encode(token.encode()).decode()
    return document


def _begin(request: Document) -> int:
    if not (token := request.get("NextToken")):
        return 0
    try:
        begin, filters = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        begin, filters = None, None
    if not isinstance(begin, int) or begin < 0 or filters != _filters(request):
        raise ApiError("ValidationException", "The NextToken is not one that this request was answered.")
    return begin


def _filters(request: Document) -> Document:
    return {key: value for key, value in sorted(request.items()) if key not in ("NextToken", "MaxResults")}
