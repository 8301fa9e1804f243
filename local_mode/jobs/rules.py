"""A request read, and checked as a whole: rules between fields, and values local_mode does not honour yet."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from local_mode.errors import LocalModeError, ValidationError
from local_mode.instance.opt_ml import CHECKPOINTS
from local_mode.instance.sources import local_path
from local_mode.jobs.request import Channel, TrainingJobRequest
from local_mode.jobs.shapes import read


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
    return [*_metrics(request), *_channels(request), *_places(request), *_later(request)]


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


def _places(request: TrainingJobRequest) -> Iterator[str]:
    """Every URI of the request."""
    uris = {
        f"InputDataConfig[{index}].DataSource.S3DataSource.S3Uri": channel.DataSource.S3DataSource.S3Uri
        for index, channel in enumerate(request.InputDataConfig)
    }
    uris["OutputDataConfig.S3OutputPath"] = request.OutputDataConfig.S3OutputPath
    if request.CheckpointConfig:
        uris["CheckpointConfig.S3Uri"] = request.CheckpointConfig.S3Uri
    for where, uri in uris.items():
        try:
            # Whether an S3 is served here is for `create` to know.
            _ = uri.startswith("s3://") or local_path(uri)
        except LocalModeError as error:
            yield f"{where}: {error}"


def _later(request: TrainingJobRequest) -> Iterator[str]:
    if request.ResourceConfig.InstanceCount != 1:
        count = request.ResourceConfig.InstanceCount
        yield f"local_mode does not run {count} instances yet; set ResourceConfig.InstanceCount to 1."
    if request.EnableManagedSpotTraining:
        yield "local_mode does not run managed spot training yet; set EnableManagedSpotTraining to false."
    if request.OutputDataConfig.CompressionType == "NONE":
        yield "local_mode does not leave artifacts uncompressed yet; set OutputDataConfig.CompressionType to GZIP."
    config = request.CheckpointConfig
    if config and (config.LocalPath or CHECKPOINTS).rstrip("/") != CHECKPOINTS:
        yield f"local_mode does not put checkpoints at {config.LocalPath!r} yet; set LocalPath to {CHECKPOINTS}."
