"""A sweep as a person writes it: a CreateHyperParameterTuningJob request, filled in and checked as a job's is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_mode.tuning import ranges
from local_mode.tuning.plan import Plan, definitions_of, plan, resources
from local_mode.tuning.rules import broken
from scripts.cleaning import mark
from scripts.submitting import checking, job_file
from scripts.submitting.errors import SubmitError
from scripts.submitting.request import DAY, Situation, limited, name_of
from scripts.submitting.request import complete as complete_job

OPERATION = "CreateHyperParameterTuningJob"
NAME = "HyperParameterTuningJobName"
STATIC = "StaticHyperParameters"
_CONFIG = "HyperParameterTuningJobConfig"
_NAME_MOST = 32
_FLEXIBLE = "HyperParameterTuningResourceConfig"
_OWN = ("DefinitionName", "TuningObjective", "HyperParameterRanges", _FLEXIBLE)
"""Fields of a definition that no training job's request has."""
_KINDS = ("ParameterRanges", "HyperParameterRanges")
Document = Mapping[str, Any]
Change = Callable[[Document], Document]


def read(path: Path) -> dict[str, Any]:
    """The request in a file; what the API wants as texts may be written there as numbers.

    Raises:
        SubmitError: It cannot be read, or is not a map.
    """
    document = job_file.read(path, operation=OPERATION, like="examples/tuning")
    config = document.get(_CONFIG)
    if isinstance(config, dict):
        document[_CONFIG] = _with_ranges(config)
    return each_definition(document, lambda each: _with_ranges(job_file.with_texts(each, (STATIC, "Environment"))))


def each_definition(request: Document, change: Change) -> dict[str, Any]:
    """The request with every definition of its training jobs changed."""
    result = dict(request)
    if isinstance(request.get("TrainingJobDefinition"), dict):
        result["TrainingJobDefinition"] = change(request["TrainingJobDefinition"])
    if isinstance(several := request.get("TrainingJobDefinitions"), list):
        result["TrainingJobDefinitions"] = [change(each) if isinstance(each, dict) else each for each in several]
    return result


def with_static(document: Document, given: Mapping[str, str]) -> dict[str, Any]:
    """The request with static hyperparameters over those of every definition."""
    return (
        each_definition(document, lambda each: {**each, STATIC: {**each.get(STATIC, {}), **given}})
        if given
        else {**document}
    )


def as_job(definition: Document) -> dict[str, Any]:
    """A definition as the CreateTrainingJob request that it is for the most part."""
    kept = {field: value for field, value in definition.items() if field not in (*_OWN, STATIC)}
    if _FLEXIBLE in definition and "ResourceConfig" not in definition:
        kept["ResourceConfig"] = resources(definition)
    return {**kept, "HyperParameters": dict(definition.get(STATIC, {}))}


def complete(document: Document, situation: Situation) -> dict[str, Any]:
    """The whole request but for limits of time.

    Raises:
        SubmitError: There is no image or no role.
    """
    name = document.get(NAME) or name_of(situation.base_name, situation.at, _NAME_MOST)

    def filled(definition: Document) -> Document:
        # All training jobs of a definition have one place of checkpoints, and would go on from one another's: no spot
        # instances and no place, unless the person says so.
        job = complete_job(
            {"EnableManagedSpotTraining": False, **as_job(definition), "TrainingJobName": name}, situation
        )
        return _as_definition(job, definition)

    given = document.get("Tags") or []
    tags = given if mark.is_ours(given) else [*given, mark.tag(mark.TUNE)]
    return each_definition({NAME: name, **document, "Tags": tags}, filled)


def with_limits(request: Document, limit: Callable[[dict[str, Any]], Document]) -> dict[str, Any]:
    """The request with the limits of time that `limit` gives a training job with the first value of each range."""
    known = {id(definition): (definition, found) for definition, _, found in definitions_of(request)}

    def one(definition: Document) -> Document:
        job = as_job(definition)
        first = {each.name: each.write(0.0) for each in ranges.read(known[id(definition)][1])}
        job["HyperParameters"] |= first
        return {**definition, "StoppingCondition": limit(job)["StoppingCondition"]}

    return each_definition(request, one)


def check(request: Document) -> Plan:
    """Refuses what the service would refuse; what the request comes to.

    Raises:
        SubmitError: Everything that is wrong, a line each.
    """
    with_a_day = each_definition(request, lambda each: limited(each, DAY))
    checking.check(with_a_day, whole=True, operation=OPERATION)
    if problems := broken(with_a_day):
        raise SubmitError("\n".join(problems))
    return plan(with_a_day)


def _as_definition(job: Document, definition: Document) -> Document:
    own = {field: definition[field] for field in _OWN if field in definition}
    # Tags are the tuning job's, which gives them to its training jobs.
    kept = {field: value for field, value in job.items() if field not in ("TrainingJobName", "HyperParameters", "Tags")}
    if _FLEXIBLE in definition and "ResourceConfig" not in definition:
        kept.pop("ResourceConfig")
    if "CheckpointConfig" not in definition:
        kept.pop("CheckpointConfig", None)
    return {**own, **kept, **({STATIC: job["HyperParameters"]} if job["HyperParameters"] else {})}


def _with_ranges(document: Document) -> dict[str, Any]:
    found = {field: document[field] for field in _KINDS if isinstance(document.get(field), dict)}
    return {**document, **{field: _ranges(each) for field, each in found.items()}}


def _ranges(document: Document) -> dict[str, Any]:
    return {
        kind: [_range(item) for item in items] if isinstance(items, list) else items for kind, items in document.items()
    }


def _range(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    shown = {field: job_file.text(value) for field, value in item.items()}
    if isinstance(item.get("Values"), list):
        shown["Values"] = [job_file.text(value) for value in item["Values"]]
    return shown
