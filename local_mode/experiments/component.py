"""A trial component as it is answered: what was stored of it, and what the record of its training job says."""

import json
from collections.abc import Mapping
from typing import Any

from local_mode.jobs.record import FINAL
from local_mode.jobs.summary import Summary

Document = dict[str, Any]
SUFFIX = "-aws-training-job"
"""What a training job's component has behind the job's name, as on AWS."""
JOB, SUMMARIES, TAGS = "Job", "Summaries", "Tags"
"""Members of what is stored that no answer has: a job's name, metrics that were put, tags (but for Search)."""
_VALUE_LENGTH = 2500
_OWN = "SageMaker"
_MAPS = ("Parameters", "InputArtifacts", "OutputArtifacts")


def shown(stored: Document, record: Document | None, summaries: Mapping[str, Document]) -> Document:
    """A component, with the record of its job and its metrics in six numbers, where it has a job that is known.

    What a client stored goes before what the record says.
    """
    document = {name: value for name, value in stored.items() if name not in (JOB, SUMMARIES, TAGS)}
    metrics = list(document.get("Metrics") or ())  # of a job that was deleted since
    metrics += [_metric(name, one, stored["TrialComponentArn"]) for name, one in stored.get(SUMMARIES, {}).items()]
    if record is not None:
        found = of_job(record)
        merged = {name: {**found[name], **(document.get(name) or {})} for name in _MAPS}
        modified = max(found["LastModifiedTime"], document["LastModifiedTime"])
        document = {**found, **document, **merged, "LastModifiedTime": modified}
        metrics += [_metric(name, one, record["TrainingJobArn"]) for name, one in summaries.items()]
    return {**document, "Metrics": metrics}


def of_job(record: Document) -> Document:
    """What a training job's component says of it."""
    algorithm, resources = record["AlgorithmSpecification"], record["ResourceConfig"]
    own = {
        "ImageUri": algorithm.get("TrainingImage"),
        "InstanceCount": resources.get("InstanceCount"),
        "InstanceType": resources.get("InstanceType"),
        "VolumeSizeInGB": resources.get("VolumeSizeInGB"),
    }
    parameters = {**(record.get("HyperParameters") or {}), **{f"{_OWN}.{key}": value for key, value in own.items()}}
    status, reason = record["TrainingJobStatus"], record.get("FailureReason", "")
    said = f"Status: {status}, secondary status: {record['SecondaryStatus']}, failure reason: {reason}."
    model = (record.get("ModelArtifacts") or {}).get("S3ModelArtifacts")
    document = {
        "Source": {"SourceArn": record["TrainingJobArn"], "SourceType": "SageMakerTrainingJob"},
        "Status": {"PrimaryStatus": status, "Message": said[:1024]},
        "Parameters": {name: _parameter(value) for name, value in parameters.items() if value is not None},
        "InputArtifacts": dict(_input(channel) for channel in record.get("InputDataConfig") or ()),
        "OutputArtifacts": {f"{_OWN}.ModelArtifact": {"Value": model}} if model else {},
        "LastModifiedTime": record["LastModifiedTime"],
    }
    if "TrainingStartTime" in record:
        document["StartTime"] = record["TrainingStartTime"]
    if status in FINAL:
        document["EndTime"] = record.get("TrainingEndTime", record["LastModifiedTime"])
    return document


def _parameter(value: Any) -> Document:
    try:
        number = float(value)
        json.dumps(number, allow_nan=False)
    except (TypeError, ValueError):
        return {"StringValue": str(value)[:_VALUE_LENGTH]}
    return {"NumberValue": number}


def _input(channel: Document) -> tuple[str, Document]:
    source = channel["DataSource"].get("S3DataSource") or {}
    found = {"MediaType": channel.get("ContentType"), "Value": source.get("S3Uri") or ""}
    return channel["ChannelName"], {name: value for name, value in found.items() if value is not None}


def _metric(name: str, found: Document, source: str) -> Document:
    summary = Summary(**found)
    return {
        "MetricName": name,
        "SourceArn": source,
        "TimeStamp": summary.at,
        "Max": summary.most,
        "Min": summary.least,
        "Last": summary.last,
        "Count": summary.count,
        "Avg": summary.mean,
        "StdDev": summary.deviation,
    }
