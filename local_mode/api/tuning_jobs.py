"""SageMaker's operations on tuning jobs, without an engine yet: requests are checked, and no tuning job exists."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from local_mode.api.validation import check
from local_mode.api.wire import ApiError

Document = dict[str, Any]
OPERATIONS = (
    "CreateHyperParameterTuningJob", "DescribeHyperParameterTuningJob", "ListHyperParameterTuningJobs",
    "StopHyperParameterTuningJob", "DeleteHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob",
)  # fmt: skip
_MOST_TUNED = 30
_MOST_PARAMETERS = 100
_MOST_RESOURCE = 20_000
_EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Names of a static hyperparameter that Hyperband takes for MaxResource."""
_KINDS = {"IntegerParameterRanges": int, "ContinuousParameterRanges": float}
_OBJECTIVE_NAME = 1
"""Hyperparameters that the platform adds: _tuning_objective_metric."""


def answer(operation: str, request: Document) -> Document:
    """Do what is asked; the members of the answer.

    Raises:
        ApiError: with the code and the words AWS has for it.
    """
    check(operation, request)
    if operation == "ListHyperParameterTuningJobs":
        return {"HyperParameterTuningJobSummaries": []}
    if operation == "CreateHyperParameterTuningJob":
        _create(request)
    name = request["HyperParameterTuningJobName"]
    text = f"Amazon SageMaker can't find a tuning job called {name}. Type another name."
    raise ApiError("ResourceNotFound", text)


def _create(request: Document) -> NoReturn:
    # The whole request is looked at first: what SageMaker would refuse is learnt here as well.
    if problems := list(_problems(request)):
        raise ApiError("ValidationException", " ".join(problems))
    raise ApiError("ValidationException", "local_mode does not tune hyperparameters yet.")


def _problems(request: Document) -> Iterator[str]:
    """The rules between fields, contract 4.7."""
    config, one = request["HyperParameterTuningJobConfig"], request.get("TrainingJobDefinition")
    several = request.get("TrainingJobDefinitions") or []
    if (one is None) == (not several):
        yield "Give either TrainingJobDefinition or TrainingJobDefinitions."
        return
    if one is not None:
        objective, ranges = config.get("HyperParameterTuningJobObjective"), config.get("ParameterRanges")
        yield from _definition(request, one, objective, ranges, "TrainingJobDefinition")
    names = Counter(definition.get("DefinitionName") for definition in several)
    yield from (f"{count} definitions are called {name!r}." for name, count in names.items() if name and count > 1)
    for index, each in enumerate(several):
        where = f"TrainingJobDefinitions[{index}]"
        if not each.get("DefinitionName"):
            yield f"{where} has no DefinitionName."
        yield from _definition(request, each, each.get("TuningObjective"), each.get("HyperParameterRanges"), where)
    if config["Strategy"] != "Hyperband" and config.get("StrategyConfig"):
        yield f"StrategyConfig is for Hyperband only, and Strategy is {config['Strategy']}."


def _definition(
    request: Document, definition: Document, objective: Document | None, ranges: Document | None, where: str
) -> Iterator[str]:
    """What one definition has to hold, with the objective and the ranges that are its own or the job's."""
    algorithm, static = definition["AlgorithmSpecification"], definition.get("StaticHyperParameters") or {}
    metrics = [metric["Name"] for metric in algorithm.get("MetricDefinitions") or ()]
    if objective is None:
        yield f"{where} has no objective metric."
    elif algorithm.get("TrainingImage") and objective["MetricName"] not in metrics:
        name = objective["MetricName"]
        yield f"The objective metric {name!r} is not among the MetricDefinitions of {where}: {', '.join(metrics)}."
    if not definition.get("ResourceConfig") and not definition.get("HyperParameterTuningResourceConfig"):
        yield f"{where} has neither ResourceConfig nor HyperParameterTuningResourceConfig."
    config, found = request["HyperParameterTuningJobConfig"], ranges or {}
    tuned = [item["Name"] for kind in (*_KINDS, "CategoricalParameterRanges") for item in found.get(kind) or ()]
    automatic = [item["Name"] for item in found.get("AutoParameters") or ()]
    if automatic and (request.get("Autotune") or {}).get("Mode") != "Enabled":
        yield "AutoParameters need Autotune with Mode Enabled."
    if not tuned and not automatic and (request.get("Autotune") or {}).get("Mode") != "Enabled":
        yield f"{where} has no ParameterRanges, so there is nothing to tune."
    counts = Counter([*tuned, *automatic, *static])
    yield from (f"Hyperparameter {name!r} is given {count} times." for name, count in counts.items() if count > 1)
    if len(tuned) > _MOST_TUNED:
        yield f"{len(tuned)} hyperparameters are tuned; at most {_MOST_TUNED} can be."
    if len(counts) + _OBJECTIVE_NAME > _MOST_PARAMETERS:
        yield f"{len(counts)} hyperparameters and the objective's name are more than {_MOST_PARAMETERS}."
    for kind, number in _KINDS.items():
        for item in found.get(kind) or ():
            yield from _range(item, number, kind)
    strategy = {"Grid": _grid, "Hyperband": _hyperband}.get(config["Strategy"])
    if strategy:
        yield from strategy(config, found, static)


def _range(item: Document, number: type[int] | type[float], kind: str) -> Iterator[str]:
    name, scaling = item["Name"], item.get("ScalingType", "Auto")
    try:
        least, most = number(item["MinValue"]), number(item["MaxValue"])
    except ValueError:
        yield f"{kind} {name!r}: {item['MinValue']!r} and {item['MaxValue']!r} must be numbers of its kind."
        return
    if not (math.isfinite(least) and math.isfinite(most) and least <= most):
        yield f"{kind} {name!r}: MinValue {least} must be at most MaxValue {most}."
    if scaling == "Logarithmic" and least <= 0:
        yield f"{kind} {name!r}: Logarithmic scaling needs a MinValue above 0, not {least}."
    if scaling == "ReverseLogarithmic" and (number is int or not 0 <= least <= most < 1):
        yield f"{kind} {name!r}: ReverseLogarithmic scaling is for continuous ranges within 0 <= x < 1."


def _grid(config: Document, ranges: Document, static: Document) -> Iterator[str]:
    if any(ranges.get(kind) for kind in _KINDS):
        yield "Grid search takes CategoricalParameterRanges only."
    points = math.prod(len(item["Values"]) for item in ranges.get("CategoricalParameterRanges") or ())
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if most is not None and most != points:
        yield f"MaxNumberOfTrainingJobs is {most}, but the grid has {points} points; leave it out or make it that."


def _hyperband(config: Document, ranges: Document, static: Document) -> Iterator[str]:
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        yield "Hyperband stops jobs by itself: TrainingJobEarlyStoppingType must be Off."
    given = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
    inferred = [static[name] for name in _EPOCHS if name in static]
    most = given.get("MaxResource") or next((int(text) for text in inferred if text.isdigit()), None)
    if most is None:
        yield f"Hyperband needs MaxResource, or a static hyperparameter called one of {', '.join(_EPOCHS)}."
    elif most > _MOST_RESOURCE or most < given.get("MinResource", 1):
        yield f"Hyperband's MaxResource is {most}; it must be at least MinResource and at most {_MOST_RESOURCE}."
