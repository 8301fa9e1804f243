"""The request as code for the SageMaker SDK v3: a ModelTrainer that sends the same request."""

import re
from collections.abc import Mapping
from typing import Any

from scripts.submitting import checking
from scripts.submitting.code import Name, call, leaves, lines, literal, quoted, refuse

_WHAT = "A ModelTrainer of the SDK v3"
_PLAIN = {
    "AlgorithmSpecification.TrainingImage": "training_image",
    "AlgorithmSpecification.TrainingInputMode": "training_input_mode",
    "RoleArn": "role",
    "HyperParameters": "hyperparameters",
    "Environment": "environment",
}
"""By field of the request, the keyword that says it with a plain value."""
_SHAPES = {
    "StoppingCondition": "stopping_condition",
    "OutputDataConfig": "output_data_config",
    "CheckpointConfig": "checkpoint_config",
    "Tags": "tags",
}
"""The same with an object of the SDK, whose fields are the API's."""
_NETWORKING = {
    "VpcConfig.Subnets": "subnets",
    "VpcConfig.SecurityGroupIds": "security_group_ids",
    "EnableNetworkIsolation": "enable_network_isolation",
    "EnableInterContainerTrafficEncryption": "enable_inter_container_traffic_encryption",
}
_WITH = {
    "AlgorithmSpecification.MetricDefinitions": "with_metric_definitions",
    "TensorBoardOutputConfig": "with_tensorboard_output_config",
}
"""The same with a method."""
_SPOT = "EnableManagedSpotTraining"


def code(request: Mapping[str, Any]) -> str:
    """A program that creates the job and waits for its end.

    Raises:
        SubmitError: The request holds what a ModelTrainer cannot say.
    """
    name, members = Name.of(request), checking.shape().members
    channels = request.get("InputDataConfig", [])
    rest = {key: value for key, value in request.items() if key not in ("TrainingJobName", "InputDataConfig")}
    resources = rest.pop("ResourceConfig", {})
    fields = dict(leaves(rest, {**_PLAIN, **_NETWORKING, **_WITH}))
    refuse((path for path in fields if path not in (*_PLAIN, *_SHAPES, *_NETWORKING, *_WITH, _SPOT)), _WHAT)
    compute = _arguments(members["ResourceConfig"], resources, name, 2)
    if _SPOT in fields:
        compute["enable_managed_spot_training"] = repr(fields[_SPOT])
    networking = {_NETWORKING[path]: literal(value, name, 2) for path, value in fields.items() if path in _NETWORKING}
    arguments = {"base_job_name": quoted(name.base)}
    arguments |= {_PLAIN[path]: literal(value, name, 1) for path, value in fields.items() if path in _PLAIN}
    arguments["compute"] = call("Compute", compute, 1)
    if networking:
        arguments["networking"] = call("Networking", networking, 1)
    arguments |= {
        _SHAPES[path]: _object(members[path], value, name, 1) for path, value in fields.items() if path in _SHAPES
    }
    chain = "".join(
        f".{_WITH[path]}({_object(_member(path), value, name, 0)})" for path, value in fields.items() if path in _WITH
    )
    inputs = _object(members["InputDataConfig"], channels, name, 1)
    configs = ", ".join(["Compute", *(["Networking"] if networking else [])])
    return "\n".join(
        (
            f'"""{name.base}, for the SageMaker SDK v3: pip install sagemaker-train."""',
            "",
            *(() if name.base == name.whole else ("import time", "")),
            "from sagemaker.core import shapes",
            f"from sagemaker.core.training.configs import {configs}",
            "from sagemaker.train import ModelTrainer",
            "",
            f"{name.assignment}  # the SDK gives the job a time of its own",
            "",
            f"trainer = {call('ModelTrainer', arguments)}{chain}",
            call("trainer.train", {"input_data_config": inputs} if channels else {}),
            "job = trainer._latest_training_job",
            'print(f"{job.training_job_name}: {job.training_job_status}")',
            "",
        )
    )


def _object(kind: Any, value: Any, name: Name, depth: int) -> str:
    """A value of the service model as the SDK has it: structures are its classes, in snake case."""
    if kind.type_name == "structure":
        return call(f"shapes.{kind.name}", _arguments(kind, value, name, depth + 1), depth)
    if kind.type_name == "list" and kind.member.type_name == "structure":
        return lines("[", (_object(kind.member, item, name, depth + 1) for item in value), "]", depth)
    return literal(value, name, depth)


def _arguments(kind: Any, value: Mapping[str, Any], name: Name, depth: int) -> dict[str, str]:
    return {_snake(key): _object(kind.members[key], item, name, depth) for key, item in value.items()}


def _member(path: str) -> Any:
    kind = checking.shape()
    for part in path.split("."):
        kind = kind.members[part]
    return kind


def _snake(name: str) -> str:
    """A field's name as the SDK spells it."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()
