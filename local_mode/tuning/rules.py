"""What a CreateHyperParameterTuningJob request has to hold beyond its fields' own limits, contract 4.7."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from local_mode.tuning.hyperband import EPOCHS, MOST_RESOURCE, given
from local_mode.tuning.plan import OBJECTIVE, definitions_of

_MOST_TUNED = 30
_MOST_PARAMETERS = 100
KINDS: dict[str, type[int] | type[float]] = {"IntegerParameterRanges": int, "ContinuousParameterRanges": float}
CATEGORICAL = "CategoricalParameterRanges"
Document = Mapping[str, Any]


def broken(request: Document) -> list[str]:
    """Every broken rule, as a sentence."""
    return list(_problems(request))


def _problems(request: Document) -> Iterator[str]:
    config, several = request["HyperParameterTuningJobConfig"], request.get("TrainingJobDefinitions") or []
    if (request.get("TrainingJobDefinition") is None) == (not several):
        yield "Give either TrainingJobDefinition or TrainingJobDefinitions."
        return
    names = Counter(definition.get("DefinitionName") for definition in several)
    yield from (f"{count} definitions are called {name!r}." for name, count in names.items() if name and count > 1)
    for index, (definition, objective, ranges) in enumerate(definitions_of(request)):
        where = f"TrainingJobDefinitions[{index}]" if several else "TrainingJobDefinition"
        if several and not definition.get("DefinitionName"):
            yield f"{where} has no DefinitionName."
        yield from _definition(request, definition, objective, ranges, where)
    if config["Strategy"] != "Hyperband" and config.get("StrategyConfig"):
        yield f"StrategyConfig is for Hyperband only, and Strategy is {config['Strategy']}."


def _definition(
    request: Document, definition: Document, objective: Document | None, ranges: Document, where: str
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
    yield from _parameters(request, ranges, static, where)
    for kind, number in KINDS.items():
        for item in ranges.get(kind) or ():
            yield from _range(item, number, kind)
    config = request["HyperParameterTuningJobConfig"]
    if config["Strategy"] == "Grid":
        yield from _grid(config, ranges, alone=request.get("TrainingJobDefinition") is not None)
    if config["Strategy"] == "Hyperband":
        yield from _hyperband(config, static)


def _parameters(request: Document, ranges: Document, static: Document, where: str) -> Iterator[str]:
    """Names and numbers of hyperparameters."""
    tuned = [item["Name"] for kind in (*KINDS, CATEGORICAL) for item in ranges.get(kind) or ()]
    automatic = [item["Name"] for item in ranges.get("AutoParameters") or ()]
    has_autotune = (request.get("Autotune") or {}).get("Mode") == "Enabled"
    if automatic and not has_autotune:
        yield "AutoParameters need Autotune with Mode Enabled."
    if not tuned and not automatic and not has_autotune:
        yield f"{where} has no ParameterRanges, so there is nothing to tune."
    counts = Counter([*tuned, *automatic, *static])
    yield from (f"Hyperparameter {name!r} is given {count} times." for name, count in counts.items() if count > 1)
    if len(tuned) > _MOST_TUNED:
        yield f"{len(tuned)} hyperparameters are tuned; at most {_MOST_TUNED} can be."
    if len({*counts, OBJECTIVE}) > _MOST_PARAMETERS:
        yield f"{len(counts)} hyperparameters and the objective's name are more than {_MOST_PARAMETERS}."


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


def _grid(config: Document, ranges: Document, *, alone: bool) -> Iterator[str]:
    if any(ranges.get(kind) for kind in KINDS):
        yield "Grid search takes CategoricalParameterRanges only."
    points = math.prod(len(item["Values"]) for item in ranges.get(CATEGORICAL) or ())
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if alone and most is not None and most != points:
        yield f"MaxNumberOfTrainingJobs is {most}, but the grid has {points} points; leave it out or make it that."


def _hyperband(config: Document, static: Document) -> Iterator[str]:
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        yield "Hyperband stops jobs by itself: TrainingJobEarlyStoppingType must be Off."
    least, most = given(config, static)
    if most is None:
        yield f"Hyperband needs MaxResource, or a static hyperparameter called one of {', '.join(EPOCHS)}."
    elif most > MOST_RESOURCE or most < least:
        yield f"Hyperband's MaxResource is {most}; it must be at least MinResource and at most {MOST_RESOURCE}."
