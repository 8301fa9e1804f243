"""Looks at a request: what would be refused, and what is allowed and often not meant."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from local_mode.channels.objects import SCHEME, ObjectError, find
from local_mode.channels.plan import ChannelPlan, ChannelSpec, plan_channel
from local_mode.channels.s3_source import S3Source
from local_mode.doctor.findings import Finding, fail, ok, warn
from local_mode.errors import LocalModeError, ValidationError
from local_mode.jobs.create import channel_spec, written
from local_mode.jobs.outputs import Outputs
from local_mode.jobs.request import MetricDefinition, TrainingJobRequest
from local_mode.jobs.rules import parse

if TYPE_CHECKING:  # it brings boto3, which most requests are looked at without
    from local_mode.channels.s3 import S3

_LOOK = "start an endpoint, or look in AWS's own S3 with --aws"
_TEXTS = (".csv", ".txt", ".json", ".jsonl", ".tsv", ".libsvm")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".npy")
_LOOKED_AT = 100
"""Objects of a channel whose last byte is read."""


def read(document: Any) -> tuple[TrainingJobRequest | None, list[Finding]]:
    """The request, None when it is refused, and what `rules.parse` says of it."""
    try:
        request = parse(document)
    except ValidationError as error:
        return None, [fail("request", problem, "mend it: the job is refused") for problem in error.problems]
    return request, [ok("request", f"{request.TrainingJobName} is accepted")]


def examine(
    document: Any, request: TrainingJobRequest, log: Iterable[str] | None, s3: "S3 | None" = None, unserved: str = ""
) -> list[Finding]:
    """Every finding on an accepted request; `document` is it as it was written, `log` lines of a run like it.

    `s3` is where s3:// places are looked at; without it, `unserved` says why they are not.
    """
    source = S3Source(s3.access) if s3 else None
    return [
        *_hyperparameters(request),
        *_names(request),
        *(
            finding
            for channel in request.InputDataConfig
            for finding in _channel(channel_spec(request, channel), source, unserved)
        ),
        *_outputs(request, s3, unserved),
        *_limits(document, request),
        *_metrics(request.AlgorithmSpecification.MetricDefinitions, log),
    ]


def _hyperparameters(request: TrainingJobRequest) -> Iterator[Finding]:
    values = {key: text for key, text in (request.HyperParameters or {}).items() if not key.startswith("sagemaker_")}
    python = sorted(key for key, text in values.items() if text in ("True", "False"))
    if python:
        advice = "read them by their text: json.loads fails on them, bool() takes both for true"
        yield warn("hyperparameters", f"{', '.join(python)} in Python's spelling", advice)
    quoted = sorted(key for key, text in values.items() if _is_quoted(text))
    bare = sorted(key for key, text in values.items() if not _is_json(text))
    if quoted and bare:
        seen = f"{quoted[0]} = {values[quoted[0]]} has quotes of JSON, {bare[0]} = {values[bare[0]]} has none"
        yield warn("hyperparameters", seen, "SDKs differ here: read both forms, json.loads first, then the text itself")
    spaced = sorted(key for key, text in values.items() if text != text.strip())
    if spaced:
        advice = "take them out, unless they are meant"
        yield warn("hyperparameters", f"{', '.join(spaced)} with spaces or line ends around the value", advice)


def _is_quoted(text: str) -> bool:
    return _is_json(text) and isinstance(json.loads(text), str)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _names(request: TrainingJobRequest) -> Iterator[Finding]:
    names = [channel.ChannelName for channel in request.InputDataConfig]
    counts = Counter(name.upper() for name in names)
    for name, count in counts.items():
        if count > 1:
            clash = ", ".join(other for other in names if other.upper() == name)
            yield warn("channels", f"{clash} share the variable SM_CHANNEL_{name}", "rename all but one")
    if odd := [name for name in names if re.search("[-.]", name)]:
        advice = "a shell takes no - and . in SM_CHANNEL_...: scripts started by SDK v3 break; use _"
        yield warn("channels", f"the names {', '.join(odd)}", advice)


def _outputs(request: TrainingJobRequest, s3: "S3 | None", unserved: str) -> Iterator[Finding]:
    """Whether there are the buckets that a job would write to."""
    for uri in dict.fromkeys(uri for uri in written(request) if uri.startswith(SCHEME)):
        if s3 is None:
            yield warn("output", f"{uri} was not looked at: {unserved}", _LOOK)
            continue
        try:
            Outputs(s3).check_output(uri)
        except LocalModeError as error:
            yield fail("output", str(error), "the job is refused")
        else:
            yield ok("output", f"there is the bucket of {uri}")


def _channel(spec: ChannelSpec, source: S3Source | None, unserved: str) -> Iterator[Finding]:
    what = f"channel {spec.name}"
    if source is None and spec.uri.startswith(SCHEME):
        yield warn(what, f"{spec.uri} was not looked at: {unserved}", _LOOK)
        return
    try:
        plan = plan_channel(spec, s3=source)
    except LocalModeError as error:
        yield fail(what, str(error), "mend S3Uri: the job is refused")
        return
    yield ok(what, f"{spec.mode}, {len(plan.objects)} objects, {plan.size / 1e6:.1f} MB")
    if plan.surprise:
        yield warn(what, plan.surprise, "S3 matches the text of a prefix, not a folder")
    elif spec.data_type == "S3Prefix" and plan.root is not None and not spec.uri.endswith("/"):
        yield warn(what, f"{spec.uri} has no slash at its end", "add one, or all that begins like it is taken in")
    if spec.mode == "Pipe" and spec.data_type != "AugmentedManifestFile":
        try:
            yield from _stream(what, plan, source)
        except (ObjectError, OSError) as error:
            yield fail(what, str(error), "see that its objects can be read")


def _stream(what: str, plan: ChannelPlan, s3: S3Source | None) -> Iterator[Finding]:
    """What is lost when objects are streamed one after the other."""
    spec, names = plan.spec, [item.name.lower() for item in plan.objects]
    wrapped = spec.record_wrapper == "RecordIO"
    if not wrapped and (pictures := [name for name in names if name.endswith(_PICTURES)])[1:]:
        advice = "nothing is put between objects: set RecordWrapperType to RecordIO, or use an augmented manifest"
        yield warn(what, f"{len(pictures)} files like {pictures[0]} as one stream", advice)
    if spec.compression != "Gzip" and (packed := [name for name in names if name.endswith(".gz")]):
        yield warn(what, f"{packed[0]} is streamed as it is", "set CompressionType to Gzip to have it inflated")
    if not wrapped and spec.compression != "Gzip" and (open_ended := _unfinished(plan, s3)):
        advice = "its last line runs into the next object's first: end every file with a line end"
        yield warn(what, f"{open_ended} does not end with a line end", advice)


def _unfinished(plan: ChannelPlan, s3: S3Source | None) -> str | None:
    """The first text, but for the last object, that ends within a line."""
    for item in plan.objects[:-1][:_LOOKED_AT]:
        if item.size and item.name.lower().endswith(_TEXTS):
            source, key = find(item.key, s3)
            with closing(source.read(key, item.size - 1)) as stream:
                if stream.read(1) != b"\n":
                    return item.name
    return None


def _limits(document: Any, request: TrainingJobRequest) -> Iterator[Finding]:
    seconds = request.StoppingCondition.MaxRuntimeInSeconds
    if "MaxRuntimeInSeconds" not in (document.get("StoppingCondition") or {}):
        advice = "set MaxRuntimeInSeconds: a job that hangs is stopped, and billed, only then"
        yield warn("limits", f"StoppingCondition names no time: a day ({seconds} s)", advice)
    else:
        yield ok("limits", f"stopped after {seconds} s")
    if request.CheckpointConfig is None:
        advice = "a job that is stopped or interrupted begins anew: set CheckpointConfig.S3Uri"
        yield warn("checkpoints", "no CheckpointConfig", advice)
    else:
        yield ok("checkpoints", request.CheckpointConfig.S3Uri)


def _metrics(definitions: Iterable[MetricDefinition], log: Iterable[str] | None) -> Iterator[Finding]:
    lines = None if log is None else list(log)
    for item in definitions:
        what = f"metric {item.Name}"
        if lines is None:
            yield warn(what, f"{item.Regex!r} was not tried", "give --log FILE with lines of a run")
            continue
        found = [match[1] for line in lines for match in re.finditer(item.Regex, line)]
        numbers = [text for text in found if _is_number(text)]
        if numbers:
            yield ok(what, f"{item.Regex!r} found {len(numbers)} values, the last is {numbers[-1]}")
        elif found:
            yield fail(what, f"{item.Regex!r} finds {found[-1]!r}, which is no number", "put group 1 around the number")
        else:
            yield fail(what, f"{item.Regex!r} matches none of {len(lines)} lines", "mend it, or the line it is for")


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
