"""A request read, and checked as a whole: rules between fields, and values local_mode does not honour yet."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_mode.channels.sources import local_path
from local_mode.errors import LocalModeError, ValidationError
from local_mode.instance.opt_ml import BASE, CHECKPOINTS, TENSORBOARD
from local_mode.jobs.control import TAG, planned
from local_mode.jobs.request import Channel, TrainingJobRequest
from local_mode.jobs.shapes import read

MOST_HOSTS = 64
"""Far more than a machine is good for, and few enough for its networks, threads and file handles."""
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64")
"""Folders without which no program starts."""


def parse(document: Any) -> TrainingJobRequest:
    """Read a request.

    Raises:
        ValidationError: with every problem found.
    """
    problems: list[str] = []
    request = read(TrainingJobRequest, document, "", problems)
    if request is not None:
        problems += _broken(request)
    if request is None or problems:
        raise ValidationError(problems)
    return request


def _broken(request: TrainingJobRequest) -> list[str]:
    """Every broken rule, as a sentence that says what to do."""
    rules = (_metrics, _channels, _hosts, _places, _spot, _checkpoints, _tensorboard)
    return [problem for rule in rules for problem in rule(request)]


def _metrics(request: TrainingJobRequest) -> Iterator[str]:
    for index, metric in enumerate(request.AlgorithmSpecification.MetricDefinitions):
        where = f"AlgorithmSpecification.MetricDefinitions[{index}].Regex"
        try:
            groups = re.compile(metric.Regex).groups
        except re.error as error:
            yield f"{where} is {metric.Regex!r}, which is no regular expression: {error}."
            continue
        if groups == 0:
            yield f"{where} is {metric.Regex!r}, which has no group; put parentheses around the value."


def _channels(request: TrainingJobRequest) -> Iterator[str]:
    counts = Counter(channel.ChannelName for channel in request.InputDataConfig)
    yield from (
        f"{count} channels are called {name!r}; names must differ." for name, count in counts.items() if count > 1
    )
    piped = {channel.ChannelName for channel in request.InputDataConfig if request.input_mode(channel) == "Pipe"}
    for name in counts:
        base, _, epoch = name.rpartition("_")
        if epoch.isdigit() and base in piped:
            yield f"Channel {name!r} has the name of a FIFO of the Pipe channel {base!r}; rename one."
        if name in (".", ".."):
            yield f"Channel name {name!r} cannot be a folder; rename it."
    for index, channel in enumerate(request.InputDataConfig):
        yield from _channel(request, channel, f"InputDataConfig[{index}]")


def _channel(request: TrainingJobRequest, channel: Channel, where: str) -> Iterator[str]:
    """What may not be combined within a channel."""
    mode, source = request.input_mode(channel), channel.DataSource.S3DataSource
    if channel.CompressionType == "Gzip" and mode != "Pipe":
        yield f"{where}.CompressionType is Gzip in {mode} mode; SageMaker inflates in Pipe mode only."
    if channel.RecordWrapperType == "RecordIO" and mode != "Pipe":
        yield f"{where}.RecordWrapperType is RecordIO in {mode} mode; it must be None there."
    place, kind = f"{where}.DataSource.S3DataSource", source.S3DataType
    if kind == "ManifestFile" and mode == "FastFile":
        yield f"{place}.S3DataType is ManifestFile in FastFile mode, which takes S3Prefix only; use File or Pipe."
    if kind == "AugmentedManifestFile" and mode != "Pipe":
        yield f"{place}.S3DataType is AugmentedManifestFile in {mode} mode; set {where}.InputMode to Pipe."
    if kind == "AugmentedManifestFile" and not source.AttributeNames:
        yield f"{place}.AttributeNames is missing; name the attributes of {source.S3Uri!r} to stream."
    if kind != "AugmentedManifestFile" and source.AttributeNames:
        names = ", ".join(source.AttributeNames)
        yield f"{place}.AttributeNames is {names}, but S3DataType is {kind}; only AugmentedManifestFile has attributes."


def _hosts(request: TrainingJobRequest) -> Iterator[str]:
    """What may not be combined in ResourceConfig, and the groups that channels name."""
    resources = request.ResourceConfig
    names = [group.InstanceGroupName for group in resources.InstanceGroups]
    for field, value in (("InstanceType", resources.InstanceType), ("InstanceCount", resources.InstanceCount)):
        if names and value is not None:
            yield f"ResourceConfig.{field} is {value!r} beside InstanceGroups; give one or the other."
        elif not names and value is None:
            yield f"ResourceConfig.{field} is missing; give it, or InstanceGroups."
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{count} of ResourceConfig.InstanceGroups are called {name!r}; names must differ."
    if (hosts := resources.host_count) > MOST_HOSTS:
        yield (
            f"ResourceConfig asks for {hosts} hosts; local_mode runs at most {MOST_HOSTS}, all on this machine: "
            "lower InstanceCount."
        )
    for index, channel in enumerate(request.InputDataConfig):
        for name in channel.DataSource.S3DataSource.InstanceGroupNames:
            if name not in names:
                known = ", ".join(names) or "none"
                where = f"InputDataConfig[{index}].DataSource.S3DataSource.InstanceGroupNames"
                yield f"{where} has {name!r}, which is none of ResourceConfig.InstanceGroups ({known})."


def _places(request: TrainingJobRequest) -> Iterator[str]:
    """Every URI of the request."""
    uris = {
        f"InputDataConfig[{index}].DataSource.S3DataSource.S3Uri": channel.DataSource.S3DataSource.S3Uri
        for index, channel in enumerate(request.InputDataConfig)
    }
    uris["OutputDataConfig.S3OutputPath"] = request.OutputDataConfig.S3OutputPath
    if request.CheckpointConfig:
        uris["CheckpointConfig.S3Uri"] = request.CheckpointConfig.S3Uri
    if request.TensorBoardOutputConfig:
        uris["TensorBoardOutputConfig.S3OutputPath"] = request.TensorBoardOutputConfig.S3OutputPath
    for where, uri in uris.items():
        try:
            # Whether an S3 is served here is for `create` to know.
            _ = uri.startswith("s3://") or local_path(uri)
        except LocalModeError as error:
            yield f"{where}: {error}"


def _spot(request: TrainingJobRequest) -> Iterator[str]:
    """Managed spot training, and the interruptions planned for it."""
    stopping = request.StoppingCondition
    wait, run = stopping.MaxWaitTimeInSeconds, stopping.MaxRuntimeInSeconds
    where = "StoppingCondition.MaxWaitTimeInSeconds"
    if request.EnableManagedSpotTraining and (wait is None or wait < run):
        yield (
            f"{where} is {'missing' if wait is None else wait} and MaxRuntimeInSeconds is {run}; for managed spot "
            "training it must be present and be greater than or equal to MaxRuntimeInSeconds."
        )
    if wait is not None and not request.EnableManagedSpotTraining:
        yield f"{where} is {wait}, but EnableManagedSpotTraining is not true; only spot training waits, remove it."
    try:
        interruptions = planned(request.Tags)
    except ValueError as error:
        yield f"Tags: {TAG} has no seconds as in '60 60/300': {error}."
        return
    if interruptions and not request.EnableManagedSpotTraining:
        yield f"Tags: {TAG} interrupts managed spot training only; set EnableManagedSpotTraining to true."


def _checkpoints(request: TrainingJobRequest) -> Iterator[str]:
    """Where in a container checkpoints can be."""
    if request.CheckpointConfig is None or not request.CheckpointConfig.LocalPath:
        return
    text, where = request.CheckpointConfig.LocalPath, "CheckpointConfig.LocalPath"
    path = Path(os.path.normpath(text))
    if not path.is_absolute() or ".." in Path(text).parts or "\0" in text:
        yield f"{where} is {text!r}; give an absolute path, such as {CHECKPOINTS}."
        return
    platform = [Path(BASE, name) for name in ("input", "model", "output", "code")]
    taken = (*platform, *map(Path, _SYSTEM))
    clash = next((str(one) for one in taken if path.is_relative_to(one) or one.is_relative_to(path)), None)
    if clash:
        yield f"{where} is {text!r}, which is not to be mixed with {clash}; give another path, such as {CHECKPOINTS}."


def _tensorboard(request: TrainingJobRequest) -> Iterator[str]:
    """Where in a container TensorBoard's files can be: where what a program leaves is brought out from."""
    text = request.TensorBoardOutputConfig and request.TensorBoardOutputConfig.LocalPath
    path, top = Path(os.path.normpath(text or TENSORBOARD)), Path(TENSORBOARD).parent
    if top not in path.parents or path.is_relative_to(top / "data") or ".." in Path(text or "").parts:
        where = "TensorBoardOutputConfig.LocalPath"
        yield f"{where} is {text!r}; local_mode syncs a folder of {top} other than {top}/data: give {TENSORBOARD}."
