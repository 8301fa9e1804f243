"""What becomes of each member of CreateTrainingJob's request, read off the request's dataclasses and the API model."""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.session import Session

from local_mode.errors import ValidationError
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.rules import parse
from local_mode.jobs.shapes import Limits

TREATMENTS = ("executed", "recorded only", "refused")
PROBES = {
    "AlgorithmSpecification.TrainingInputMode": ["File", "FastFile", "Pipe"],
    "CheckpointConfig.LocalPath": ["/state"],
    "EnableManagedSpotTraining": [True],
    "EnableNetworkIsolation": [True],
    "OutputDataConfig.CompressionType": ["NONE"],
    "ResourceConfig.InstanceCount": [2],
}
"""Values that the API allows and that were refused once; what is still refused is said beside the field."""
NOTES = {
    "RoleArn": "its account is that of the job's ARN",
    "ResourceConfig.InstanceType": "told to the program; the machine is this one",
}
STRICTER = {
    "AlgorithmSpecification: required": "contract 4.1: only serverless jobs do without it",
    "AlgorithmSpecification.TrainingImage: required": "contract 4.1: its like, AlgorithmName, is refused by name",
    "AlgorithmSpecification.TrainingImage: least": "an empty text names no image",
    "InputDataConfig.DataSource.S3DataSource: required": "contract 3.1: its likes are refused by name",
    "InputDataConfig.DataSource.S3DataSource.S3DataType: choices": "contract 3.1: Converse is no data of a container",
    "InputDataConfig.DataSource.S3DataSource.S3Uri: least": "an empty text names no place",
    "ResourceConfig: required": "contract 4.1: only serverless jobs do without it",
    "ResourceConfig.InstanceCount: least": "a job has a host",
    "ResourceConfig.InstanceGroups.InstanceCount: least": "a group has a host",
    "StoppingCondition.MaxRuntimeInSeconds: most": "contract 4.1: 28 days",
}
"""Where a field is held to more than the API model holds it to, and why."""
REQUEST = {
    "TrainingJobName": "probe",
    "RoleArn": "arn:aws:iam::123456789012:role/any",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One member of the request."""

    path: str
    treatment: str
    """One of TREATMENTS; `unknown` when no dataclass has it."""
    note: str = ""


def fields() -> list[Field]:
    """Every member, inner ones too, in the API model's order."""
    shape = Session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    return list(_walk(shape, TrainingJobRequest, ""))


def strangers() -> list[str]:
    """Fields of the dataclasses that the API model does not have."""
    shape = Session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    return list(_strange(shape, TrainingJobRequest, ""))


def _walk(shape: Any, kind: type, where: str) -> Iterator[Field]:
    known = {item.name: item for item in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    for name, member in shape.members.items():
        path = f"{where}{name}"
        if name not in known:
            yield Field(path=path, treatment="unknown")
            continue
        limits: Limits = known[name].metadata["limits"]
        if limits.later:
            yield Field(path=path, treatment="refused", note=f"local_mode does not {limits.later} yet")
        elif limits.recorded:
            yield Field(path=path, treatment="recorded only", note=NOTES.get(path, ""))
        elif inner := _dataclass(hints[name]):
            yield from _walk(_element(member), inner, f"{path}.")
        else:
            yield Field(path=path, treatment="executed", note=NOTES.get(path, "") or _refused_values(path))


def _strange(shape: Any, kind: type, where: str) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if item.name not in shape.members:
            yield f"{where}{item.name}"
        elif inner := _dataclass(hints[item.name]):
            yield from _strange(_element(shape.members[item.name]), inner, f"{where}{item.name}.")


def stricter() -> list[str]:
    """What the dataclasses demand of a field beyond the API model, as `path: demand`."""
    shape = Session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    return list(_stricter(shape, TrainingJobRequest, ""))


def _stricter(shape: Any, kind: type, where: str) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        member, path = shape.members[item.name], f"{where}{item.name}"
        if item.default is dataclasses.MISSING and item.name not in shape.required_members:
            yield f"{path}: required"
        yield from (f"{path}: {demand}" for demand in _demands(item.metadata["limits"], member))
        if inner := _dataclass(hints[item.name]):
            yield from _stricter(_element(member), inner, f"{path}.")


def _demands(limits: Limits, shape: Any) -> Iterator[str]:
    """The limits that allow less than `shape` does."""
    whole = {"min": -(1 << 63), "max": (1 << 63) - 1} if shape.type_name == "long" else {"min": 0, "max": float("inf")}
    keys = shape.key if shape.type_name == "map" else shape
    values = {"map": lambda: shape.value, "list": lambda: shape.member}.get(shape.type_name, lambda: shape)()
    least, most = shape.metadata.get("min", whole["min"]), shape.metadata.get("max", whole["max"])
    if limits.least is not None and limits.least > least:
        yield "least"
    if limits.most is not None and limits.most < most:
        yield "most"
    if limits.key_most is not None and limits.key_most < keys.metadata.get("max", float("inf")):
        yield "key_most"
    if limits.value_most is not None and limits.value_most < values.metadata.get("max", float("inf")):
        yield "value_most"
    if limits.choices and not set(limits.choices) >= set(shape.metadata.get("enum", ["anything else"])):
        yield "choices"
    if limits.pattern and not _allows(limits.pattern, keys.metadata):
        yield "pattern"


def _allows(pattern: str, model: Any) -> bool:
    """Whether a pattern takes all that the model's own pattern, or list of values, takes."""
    if "enum" in model:
        return all(re.fullmatch(pattern, value) for value in model["enum"])
    return bool(model.get("pattern", "").replace(r"\.", ".") == pattern.replace(r"\.", "."))


def _refused_values(path: str) -> str:
    refused = []
    for value in PROBES.get(path, ()):
        document = {key: dict(item) if isinstance(item, dict) else item for key, item in REQUEST.items()}
        *parts, last = path.split(".")
        place = document
        for part in parts:
            place = typing.cast(dict[str, Any], place[part])
        place[last] = value
        try:
            parse(document)
        except ValidationError as error:
            refused.append(f"`{value}` is refused: {error}")
    return " ".join(refused)


def _element(shape: Any) -> Any:
    return shape.member if shape.type_name == "list" else shape


def _dataclass(hint: Any) -> type | None:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    return hint if dataclasses.is_dataclass(hint) and isinstance(hint, type) else None
