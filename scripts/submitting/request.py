"""Fills in what a person left out of a CreateTrainingJob request; what was written stays as it was written."""

import copy
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainjob import metrics

from scripts.cleaning import mark
from scripts.datasets.catalogue import DATASETS
from scripts.submitting import images
from scripts.submitting.errors import SubmitError

LOCAL_ROLE = "arn:aws:iam::123456789012:role/local-mode"
"""Nobody's: local_mode's endpoint lets every role do everything."""
DAY = 86_400
VOLUME_GB = 30
WAIT_SECONDS = 3600
"""For a spot instance, on top of the time that the job may run."""
_NAME_MOST = 63
_TIME_FORMAT = "%Y%m%d-%H%M%S"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a request is completed with, besides itself."""

    base_name: str
    """Begins the job's name."""
    local: bool
    """That the job runs on this machine, where nothing is billed."""
    role: str | None = None
    """RoleArn where the request has none."""
    at: time.struct_time
    """Ends the job's name."""


def complete(document: Mapping[str, Any], situation: Situation) -> dict[str, Any]:
    """The whole request but for its time limits.

    Raises:
        SubmitError: There is no image or no role.
    """
    request = copy.deepcopy(dict(document))
    algorithm = request.setdefault("AlgorithmSpecification", {})
    given = algorithm.get("TrainingImage")
    if "AlgorithmName" not in algorithm:
        algorithm["TrainingImage"] = images.resolve(given, local=situation.local)
    if definitions := _definitions(request, algorithm):
        algorithm.setdefault("MetricDefinitions", definitions)
    given_tags = request.get("Tags") or []
    if not mark.is_ours(given_tags):
        request["Tags"] = [*given_tags, mark.tag(mark.SUBMIT)]
    request.setdefault("TrainingJobName", name_of(situation.base_name, situation.at))
    if role := situation.role or (LOCAL_ROLE if situation.local else None):
        request.setdefault("RoleArn", role)
    if "RoleArn" not in request:
        raise SubmitError(
            "RoleArn is missing; give it in the file, by --role or as SAGEMAKER_ROLE_ARN: the role that the job has"
        )
    resources = request.setdefault("ResourceConfig", {})
    resources.setdefault("VolumeSizeInGB", VOLUME_GB)
    if "InstanceType" in resources:
        resources.setdefault("InstanceCount", 1)
    # An instance that is kept warm for the next job cannot be a spot instance.
    request.setdefault("EnableManagedSpotTraining", "KeepAlivePeriodInSeconds" not in resources)
    if output := request.get("OutputDataConfig", {}).get("S3OutputPath"):
        where = f"{output.rstrip('/')}/{request['TrainingJobName']}/checkpoints/"
        request.setdefault("CheckpointConfig", {}).setdefault("S3Uri", where)
    return request


def limited(request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The request with the time limits it lacks, so that it may run for `seconds`, in whole minutes."""
    stopping = dict(request.get("StoppingCondition", {}))
    stopping.setdefault("MaxRuntimeInSeconds", 60 * math.ceil(seconds / 60))
    if request.get("EnableManagedSpotTraining"):
        stopping.setdefault("MaxWaitTimeInSeconds", stopping["MaxRuntimeInSeconds"] + WAIT_SECONDS)
    return {**request, "StoppingCondition": stopping}


def is_limited(request: Mapping[str, Any]) -> bool:
    """Whether the request says itself for how long the job may run."""
    return "MaxRuntimeInSeconds" in request.get("StoppingCondition", {})


def name_of(base: str, at: time.struct_time, most: int = _NAME_MOST) -> str:
    """A job's name: what it begins with, as far as a name of `most` characters may hold it, and the time."""
    stamp = time.strftime(_TIME_FORMAT, at)
    words = re.sub(r"[^a-zA-Z0-9]+", "-", base)[: most - len(stamp) - 1].strip("-")
    return f"{words or 'job'}-{stamp}"


def dataset_of(request: Mapping[str, Any]) -> str | None:
    """The data set that one of our programs will train on; None where the image is not ours or a script is run."""
    algorithm, hyperparameters = request.get("AlgorithmSpecification", {}), request.get("HyperParameters", {})
    if images.framework_of(algorithm.get("TrainingImage")) is None or "sagemaker_program" in hyperparameters:
        return None
    name = hyperparameters.get("dataset", next(iter(DATASETS)))  # what the images take without a word
    return name if name in DATASETS else None


def _definitions(request: Mapping[str, Any], algorithm: Mapping[str, Any]) -> list[dict[str, str]]:
    dataset = dataset_of({**request, "AlgorithmSpecification": algorithm})
    return metrics.definitions(DATASETS[dataset].METRICS) if dataset else []
