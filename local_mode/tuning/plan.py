"""What a tuning job is to do, read from its CreateHyperParameterTuningJob request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_mode.tuning.hyperband import Hyperband, given
from local_mode.tuning.objective import Objective
from local_mode.tuning.ranges import Space, read, size

OBJECTIVE = "_tuning_objective_metric"
"""The hyperparameter that the platform adds: the objective metric's name, not quoted."""
_MOST_JOBS = 750
"""Training jobs of one tuning job when it names no number: SageMaker's own limit."""
_COPIED = (
    "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "StoppingCondition", "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "CheckpointConfig", "RetryStrategy",
    "Environment",
)  # fmt: skip
Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A kind of training job that a tuning job starts."""

    name: str | None
    objective: Objective
    space: Space
    static: Mapping[str, str]
    """Hyperparameters that are the same in all of them; hints of Autotune among them."""
    hyperband: Hyperband | None
    document: Document
    """As it was asked for."""

    def request(self, name: str, values: Mapping[str, str], tags: list[Document]) -> dict[str, Any]:
        """The CreateTrainingJob request of one that is called `name`, with these tuned values."""
        algorithm = {key: value for key, value in self.document["AlgorithmSpecification"].items() if value is not None}
        copied = {key: self.document[key] for key in _COPIED if self.document.get(key) is not None}
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": algorithm,
            "HyperParameters": {**self.static, **values, OBJECTIVE: self.objective.metric},
            "ResourceConfig": resources(self.document),
            **copied,
            **({"Tags": tags} if tags else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """When a tuning job is complete before its budget is spent."""

    target: float | None
    not_improving: int | None
    """Training jobs in a row that improved nothing."""
    convergence: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A tuning job as it is asked for."""

    name: str
    strategy: str
    seed: int | None
    jobs: int
    """Training jobs in all."""
    parallel: int
    """Training jobs at a time."""
    seconds: int | None
    """From its creation to its end."""
    early_stopping: bool
    criteria: Criteria
    definitions: tuple[Definition, ...]
    parents: tuple[str, ...]
    """Tuning jobs whose results it begins with."""
    identical: bool
    """That data and algorithm are those of the parents."""
    tags: tuple[Document, ...]

    @property
    def hints(self) -> list[str]:
        """Names of hyperparameters that Autotune was to find a range for."""
        found = []
        for each in self.definitions:
            found += [name for name in each.static if name not in (each.document.get("StaticHyperParameters") or {})]
        return found


def plan(request: Document) -> Plan:
    """Read a request, which `rules` has checked."""
    config = request["HyperParameterTuningJobConfig"]
    limits, warm = config["ResourceLimits"], request.get("WarmStartConfig") or {}
    definitions = tuple(_definition(config, *each) for each in definitions_of(request))
    grid = sum(int(size(each.space)) for each in definitions) if config["Strategy"] == "Grid" else None
    return Plan(
        name=request["HyperParameterTuningJobName"],
        strategy=config["Strategy"],
        seed=config.get("RandomSeed"),
        jobs=grid or limits.get("MaxNumberOfTrainingJobs") or _MOST_JOBS,
        parallel=limits["MaxParallelTrainingJobs"],
        seconds=limits.get("MaxRuntimeInSeconds"),
        early_stopping=config.get("TrainingJobEarlyStoppingType") == "Auto",
        criteria=_criteria(config.get("TuningJobCompletionCriteria") or {}),
        definitions=definitions,
        parents=tuple(each["HyperParameterTuningJobName"] for each in warm.get("ParentHyperParameterTuningJobs") or ()),
        identical=warm.get("WarmStartType") == "IdenticalDataAndAlgorithm",
        tags=tuple(request.get("Tags") or ()),
    )


def definitions_of(request: Document) -> list[tuple[Document, Document | None, Document]]:
    """Every definition of training jobs with its objective and its ranges, its own or the tuning job's."""
    config, one = request["HyperParameterTuningJobConfig"], request.get("TrainingJobDefinition")
    if one is not None:
        return [(one, config.get("HyperParameterTuningJobObjective"), config.get("ParameterRanges") or {})]
    several = request.get("TrainingJobDefinitions") or ()
    return [(each, each.get("TuningObjective"), each.get("HyperParameterRanges") or {}) for each in several]


def _definition(config: Document, document: Document, objective: Document | None, ranges: Document) -> Definition:
    hints = {item["Name"]: item["ValueHint"] for item in ranges.get("AutoParameters") or ()}
    static = {**(document.get("StaticHyperParameters") or {}), **hints}
    static.pop(OBJECTIVE, None)
    least, most = given(config, static)
    return Definition(
        name=document.get("DefinitionName"),
        objective=Objective.read(objective or {}),
        space=read(ranges),
        static=static,
        hyperband=Hyperband(least=least, most=most) if config["Strategy"] == "Hyperband" and most else None,
        document=document,
    )


def _criteria(document: Document) -> Criteria:
    convergence = document.get("ConvergenceDetected") or {}
    return Criteria(
        target=document.get("TargetObjectiveMetricValue"),
        not_improving=(document.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving"),
        convergence=convergence.get("CompleteOnConvergence") == "Enabled",
    )


def resources(document: Document) -> dict[str, Any]:
    """A definition's ResourceConfig; of flexible instances the first, which is the preferred one."""
    if document.get("ResourceConfig"):
        return dict(document["ResourceConfig"])
    flexible = dict(document["HyperParameterTuningResourceConfig"])
    flexible.pop("AllocationStrategy", None)
    first = (flexible.pop("InstanceConfigs", None) or [{}])[0]
    return {**flexible, **first}
