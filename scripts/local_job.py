"""A CreateTrainingJob request for this machine, and its handing over to local_mode."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from trainjob import metrics
from trainjob.contract import FILE, PIPE

from local_mode.runners.choose import choose
from scripts.environments import interpreter
from scripts.environments.environment import ROOT, say, write_whole
from scripts.images.entry import image_name

STATE = ROOT / ".local_mode"
ROLE = "arn:aws:iam::111122223333:role/local-mode"
"""Nobody's: a request must name a role, and nothing here assumes it."""


@dataclass(frozen=True, kw_only=True)
class LocalJob:
    """What differs between two jobs on this machine."""

    framework: str
    """A key of images.json."""
    label: str
    """Begins the job's name."""
    input_mode: str
    """Of all channels but `code`."""
    channels: Mapping[str, Path]
    """By channel its folder, or its augmented manifest."""
    hyperparameters: Mapping[str, str]
    attributes: Sequence[str] = ()
    """What is streamed of each line, where all channels but `code` are augmented manifests."""
    metrics: Sequence[str] = metrics.NAMES
    """What the program reports."""
    content_type: str | None = None
    """Of all channels but `code`."""
    code: Path | None = None
    """Folder of the channel `code`, in File mode: a script of the user's own."""
    hosts: int = 1
    """As many hosts train together."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the request gives the container."""
    state: Path = STATE
    """Folder of jobs, requests and prepared data."""


def build_request(job: LocalJob, name: str) -> dict[str, Any]:
    """The CreateTrainingJob request of a job."""
    declared = {"ContentType": job.content_type} if job.content_type else {}
    channel_of = partial(_lines, attributes=job.attributes) if job.attributes else _channel
    channels = [channel_of(channel, path) | declared for channel, path in job.channels.items()]
    if job.code:
        channels.append(_channel("code", job.code) | {"InputMode": FILE})
    return {
        "TrainingJobName": name,
        "HyperParameters": dict(job.hyperparameters),
        "Environment": dict(job.environment),
        "AlgorithmSpecification": {
            "TrainingImage": image_name(job.framework),
            "TrainingInputMode": job.input_mode,
            "MetricDefinitions": metrics.definitions(job.metrics),
        },
        "RoleArn": ROLE,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": _folder_uri(job.state / "output")},
        "CheckpointConfig": {"S3Uri": _folder_uri(job.state / "jobs" / name / "checkpoints")},
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": job.hosts, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86_400},
    }


def hand_over(job: LocalJob, runtime: str, python: str | None, options: Sequence[str] = ()) -> NoReturn:
    """Becomes `local_mode train` with the job's request; an interpreter is made only where a process will need it.

    `options` are more of that command's own.

    Raises:
        LocalModeError: The runtime cannot be had.
        SetupError: The interpreter cannot be had.
    """
    state = job.state.resolve()
    running = made_ready(job.framework, runtime, python, state)
    name = f"{job.label}-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() // 1_000_000 % 1000:03d}"
    request = state / "requests" / f"{name}.json"
    request.parent.mkdir(parents=True, exist_ok=True)
    write_whole(request, json.dumps(build_request(job, name), indent=2) + "\n")
    say(f"request: {request}")
    command = ("-m", "local_mode", "train", str(request), *running, "--root", str(state), *options)
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - no shell is wanted


def made_ready(framework: str, runtime: str, python: str | None, state: Path) -> tuple[str, ...]:
    """Arguments by which local_mode runs a framework's image, or the process in its place, which is made where needed.

    Raises:
        LocalModeError: The runtime cannot be had.
        SetupError: The interpreter cannot be had.
    """
    image = image_name(framework)
    runner, _ = choose(runtime, image=image, stand_ins={}, caller=os.environ)
    path = state / "stand-ins.json"
    if runner.name == "process":
        path.parent.mkdir(parents=True, exist_ok=True)
        # Those of other frameworks stay: `make local-up` takes them all.
        kept = json.loads(path.read_text()) if path.exists() else {}
        write_whole(path, json.dumps({**kept, image: stand_in(framework, python)}, indent=2) + "\n")
    return ("--runtime", runtime, *(("--stand-ins", str(path)) if runner.name == "process" else ()))


def stand_in(framework: str, python: str | None) -> dict[str, Any]:
    """What the process runner runs in place of a framework's image.

    Raises:
        SetupError: There is no interpreter for it and none can be made.
    """
    entry = json.loads((ROOT / "images.json").read_text())[framework]
    return {
        "interpreter": str(interpreter.find(framework, python)),
        "python_path": [str(ROOT / "containers" / "common"), str(ROOT / entry["folder"])],
        "environment": {"TRAINJOB_PROGRAMS": entry["package"], "PYTHONUNBUFFERED": "1", **entry["environment"]},
        "train": ["-m", "trainjob.launch"],
        "preload": "trainjob.launching.preloading:load",
    }


def _channel(name: str, folder: Path) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": _folder_uri(folder)}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _lines(name: str, manifest: Path, attributes: Sequence[str]) -> dict[str, Any]:
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": manifest.resolve().as_uri(),
        "AttributeNames": list(attributes),
    }
    wrapped = {"RecordWrapperType": "RecordIO", "InputMode": PIPE}  # the one mode and framing that lines can have
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}} | wrapped


def _folder_uri(folder: Path) -> str:
    return folder.resolve().as_uri() + "/"
