"""A job's record in MLflow's terms: names, parameters, tags, artifacts, status."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from local_mode.jobs.folder import JobFolder, jobs_folder
from local_mode.jobs.record import COMPLETED, FINAL, STOPPED
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.trace import EXTRA

Document = dict[str, Any]
EXPERIMENT = "local_mode"
"""Where jobs are that name no experiment of their own."""
ARN = "sagemaker.arn"
"""The tag by which a run is found again."""
_NAME_CHARACTERS, _NAME_LENGTH = re.compile(r"[^/\w.\- :]"), 250
_VALUE_LENGTH = 5000
"""Of a parameter or a tag; MLflow's own limits are no lower."""
_MOST_FILES = 1000
_STATUS = {COMPLETED: "FINISHED", STOPPED: "KILLED"}
_TUNING_PARAMS = ("Strategy", "TrainingJobEarlyStoppingType", "RandomSeed")
_TUNING_LIMITS = ("MaxNumberOfTrainingJobs", "MaxParallelTrainingJobs")


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run as it begins."""

    experiment: str
    name: str
    began: float
    """In seconds since 1970."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    request: Document


def of_job(record: Document) -> RunPlan:
    """The run of a training job."""
    request = {name: value for name, value in record.items() if name in TrainingJobRequest.__dataclass_fields__}
    algorithm, resources = record["AlgorithmSpecification"], record["ResourceConfig"]
    channels = {each["ChannelName"]: _source(each) for each in record.get("InputDataConfig") or ()}
    return RunPlan(
        experiment=(record.get("ExperimentConfig") or {}).get("ExperimentName") or EXPERIMENT,
        name=record["TrainingJobName"],
        began=record["CreationTime"],
        params=_fitting(record.get("HyperParameters") or {}),
        tags=_fitting(
            {
                ARN: record["TrainingJobArn"],
                "sagemaker.image": algorithm.get("TrainingImage") or "",
                "sagemaker.input_mode": algorithm.get("TrainingInputMode") or "",
                "sagemaker.instance_type": str(resources.get("InstanceType") or ""),
                "sagemaker.instance_count": str(resources.get("InstanceCount") or ""),
                **{f"sagemaker.channel.{name}": uri for name, uri in channels.items()},
                **{f"sagemaker.tag.{tag['Key']}": tag["Value"] for tag in record.get("Tags") or ()},
            }
        ),
        request=request,
    )


def of_tuning_job(record: Document, experiment: str) -> RunPlan:
    """The run that a tuning job's are nested in."""
    config = record["HyperParameterTuningJobConfig"]
    chosen = {name: str(config[name]) for name in _TUNING_PARAMS if config.get(name) is not None}
    limits = config.get("ResourceLimits") or {}
    chosen |= {name: str(limits[name]) for name in _TUNING_LIMITS if limits.get(name) is not None}
    kept = ("HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition",
            "TrainingJobDefinitions", "WarmStartConfig", "Autotune", "Tags")  # fmt: skip
    return RunPlan(
        experiment=experiment,
        name=record["HyperParameterTuningJobName"],
        began=record["CreationTime"],
        params=_fitting(chosen),
        tags=_fitting({ARN: record["HyperParameterTuningJobArn"]}),
        request={name: record[name] for name in kept if name in record},
    )


def end_of_job(record: Document) -> tuple[str, float, Mapping[str, str]] | None:
    """Status, time in seconds since 1970 and tags of a training job's end; None while it goes on."""
    status = record["TrainingJobStatus"]
    if status not in FINAL:
        return None
    extra = record.get(EXTRA) or {}
    tags = {
        "sagemaker.status": status,
        "sagemaker.secondary_status": record.get("SecondaryStatus") or status,
        "sagemaker.failure_reason": record.get("FailureReason") or "",
        "sagemaker.training_seconds": str(record.get("TrainingTimeInSeconds") or 0),
        "sagemaker.verdict": extra.get("Verdict") or "",
        "sagemaker.model": (record.get("ModelArtifacts") or {}).get("S3ModelArtifacts") or "",
        "sagemaker.output": (record.get("OutputDataConfig") or {}).get("S3OutputPath") or "",
        "sagemaker.checkpoints": (record.get("CheckpointConfig") or {}).get("S3Uri") or "",
    }
    for name, data in (extra.get("Data") or {}).items():
        tags[f"sagemaker.data.{name}"] = f"{data['Objects']} objects, {data['Bytes']} bytes, sha256 {data['Sha256']}"
    return _STATUS.get(status, "FAILED"), record["LastModifiedTime"], _fitting(tags)


def end_of_tuning_job(record: Document) -> tuple[str, float, Mapping[str, str]] | None:
    """The same of a tuning job."""
    status = record["HyperParameterTuningJobStatus"]
    if status not in FINAL:
        return None
    best = record.get("BestTrainingJob") or {}
    metric = best.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    tags = {
        "sagemaker.status": status,
        "sagemaker.failure_reason": record.get("FailureReason") or "",
        "sagemaker.best_training_job": best.get("TrainingJobName") or "",
        "sagemaker.best_value": str(metric.get("Value", "")),
        "sagemaker.best_hyperparameters": json.dumps(best["TunedHyperParameters"]) if best else "",
    }
    ended = record.get("HyperParameterTuningEndTime") or record["LastModifiedTime"]
    return _STATUS.get(status, "FAILED"), ended, _fitting(tags)


def artifacts(root: Path, name: str) -> dict[str, Path]:
    """What a job left on this machine, by the name it has among its run's artifacts."""
    folder = JobFolder(path=jobs_folder(root) / name)
    found = [folder.path / each for each in ("model.tar.gz", "output.tar.gz")] + sorted(folder.logs.glob("*.log"))
    for each in ("model", "output"):  # those that were not to be packed
        found += islice(sorted((folder.path / each).rglob("*")), _MOST_FILES)
    return {str(path.relative_to(folder.path)): path for path in found if path.is_file() and not path.is_symlink()}


def metric_name(name: str) -> str:
    """A metric's name in characters that MLflow takes."""
    return _NAME_CHARACTERS.sub("_", name)[:_NAME_LENGTH]


def _source(channel: Document) -> str:
    source = channel["DataSource"].get("S3DataSource") or {}
    return str(source.get("S3Uri") or "")


def _fitting(pairs: Mapping[str, str]) -> dict[str, str]:
    """Those that say something, in names and lengths that MLflow takes."""
    return {metric_name(name): value[:_VALUE_LENGTH] for name, value in pairs.items() if value}
