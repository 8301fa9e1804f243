"""A short job on this machine, of the same program and hyperparameters, on drawn data: what an estimate stands on."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from trainjob.contract import PIPE

from scripts.datasets.catalogue import DATASETS, default_form
from scripts.datasets.forms import JPEG, RECORDIO, Form
from scripts.datasets.photographs import ATTRIBUTES, manifest_name
from scripts.datasets.shards import Sharding
from scripts.environments.environment import ROOT, say, write_whole
from scripts.local_job import STATE, LocalJob, build_request, stand_in
from scripts.submitting import drain
from scripts.submitting.errors import SubmitError

SECONDS = 900
"""Bounds each of the two jobs."""
EPOCHS = 2
"""The second is what counts: the first compiles and warms up."""
BATCHES = 2
"""Of an epoch, at least."""
_BATCH = {"cifar10": 128, "cub200": 32}
"""Which the programs take where the hyperparameters give none."""
_SHARD_MB = 0.2
"""Of the files that a few batches are put together of."""
_EPOCH_SECONDS = {"Name": "measured:seconds", "Regex": r"(?:^|\s)seconds=([0-9.]+)"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was seen on this machine."""

    images_per_second: float
    """In the second epoch, reading and steps together."""
    batch_size: int
    mb_per_second: float
    """Of the channel train, read without a step; in units of 10**6 bytes."""
    cores: int
    machine: str
    date: str

    @property
    def steps_per_second(self) -> float:
        """Of whole batches."""
        return self.images_per_second / self.batch_size


def find(request: Mapping[str, Any], framework: str, dataset: str, *, afresh: bool, state: Path = STATE) -> Measured:
    """What was measured of this program with these hyperparameters, or is now.

    Raises:
        SubmitError: The job on this machine fails or takes too long.
        SetupError: There is no interpreter for it and none can be made.
    """
    hyperparameters = {key: value for key, value in request.get("HyperParameters", {}).items() if key != "epochs"}
    form = _form(request, dataset)
    asked = json.dumps([framework, dataset, form.name, hyperparameters, platform.node()], sort_keys=True)
    path = state / "estimates" / f"{sha256(asked.encode()).hexdigest()[:16]}.json"
    if not afresh and path.exists():
        return Measured(**json.loads(path.read_text()))
    say("measuring: a short job of the same program on drawn data, on this machine")
    measured = _measure(framework, dataset, form, {"dataset": dataset, **hyperparameters}, state.resolve())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(measured), indent=2) + "\n")
    return measured


def _measure(framework: str, dataset: str, form: Form, hyperparameters: Mapping[str, str], state: Path) -> Measured:
    data = state / "data" / form.folder(f"{dataset}-sample")
    module = DATASETS[dataset]
    manifest = module.prepare(module.Drawn(), data, Sharding(form=form))
    small = data
    if form is not JPEG:
        small = data.with_name(f"{data.name}-small")
        manifest = module.prepare(module.Drawn(), small, Sharding(form=form, shard_mb=_SHARD_MB))
    (state / "estimates").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state / "estimates") as folder:
        place = Path(folder)
        wanted = BATCHES * int(hyperparameters.get("batch_size", _BATCH[dataset]))
        little, records = _little(place / "data", small, form, manifest, wanted)
        job = _job(framework, place, form, little, {**hyperparameters, "epochs": str(EPOCHS)})
        ran = _run(job, place, stand_in(framework, None), [_EPOCH_SECONDS])
        with tarfile.open(place / "jobs" / job.label / "model.tar.gz") as archive:
            config = next(member for member in archive if Path(member.name).name == "config.json")
            batch_size = int(json.load(archive.extractfile(config))["batch_size"])  # type: ignore[arg-type]
        whole = {drain.CHANNEL: _channel(data, drain.CHANNEL, form)}
        alone = _job(framework, place, form, whole, {})
        reading = {"interpreter": sys.executable, "train": ["-m", drain.__name__], "environment": {}}
        reading["python_path"] = [str(ROOT), str(ROOT / "containers" / "common")]
        rate = {"Name": drain.RATE, "Regex": rf"{drain.RATE}=([0-9.e+]+);"}
        read = _run(alone, place, reading, [rate])
    return Measured(
        images_per_second=records / ran[_EPOCH_SECONDS["Name"]],
        batch_size=batch_size,
        mb_per_second=read[drain.RATE],
        cores=len(os.sched_getaffinity(0)),
        machine=platform.node(),
        date=time.strftime("%Y-%m-%d"),
    )


def _job(framework: str, place: Path, form: Form, channels: Mapping[str, Path], hyperparameters: Any) -> LocalJob:
    lines = form is JPEG
    return LocalJob(
        framework=framework,
        label=f"measured-{'steps' if hyperparameters else 'channel'}",
        input_mode=PIPE,
        content_type=RECORDIO.content_type if lines else form.content_type,
        channels=channels,
        attributes=ATTRIBUTES if lines else (),
        hyperparameters=hyperparameters,
        metrics=(),
        state=place,
    )


def _run(job: LocalJob, place: Path, program: Mapping[str, Any], definitions: list[dict[str, str]]) -> dict[str, float]:
    """Runs a job as a process to its end; the last value of each metric."""
    request = build_request(job, job.label)
    algorithm = request["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = definitions
    (place / "stand-ins.json").write_text(json.dumps({algorithm["TrainingImage"]: program}))
    (place / "request.json").write_text(json.dumps(request))
    options = ("--runtime", "process", "--stand-ins", str(place / "stand-ins.json"), "--root", str(place))
    command = [sys.executable, "-m", "local_mode", "train", str(place / "request.json"), *options]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SubmitError(
            f"The job that measures took over {SECONDS} s on this machine; give StoppingCondition.MaxRuntimeInSeconds, "
            "or hyperparameters that a processor can train"
        ) from None
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise SubmitError(f"The job that measures failed on this machine, as it would elsewhere:\n{said}")
    record = json.loads((place / "jobs" / job.label / "job.json").read_text())
    return {metric["MetricName"]: metric["Value"] for metric in record["FinalMetricDataList"]}


def _little(folder: Path, data: Path, form: Form, manifest: dict[str, Any], wanted: int) -> tuple[dict[str, Path], int]:
    """Channels with so many records of the sample in train and a part of them in validation; how many train has."""
    counts = {}
    for name, most in (("train", wanted), ("validation", max(1, wanted // BATCHES // 4))):
        if form is JPEG:
            lines = (data / manifest_name(name)).read_text(encoding="utf-8").splitlines()[:most]
            folder.mkdir(exist_ok=True)
            (folder / manifest_name(name)).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            counts[name] = len(lines)
        else:
            (folder / name).mkdir(parents=True)
            counts[name] = 0
            for file in manifest["channels"][name]:
                if counts[name] < most:
                    shutil.copy(data / file["file"], folder / name)
                    counts[name] += file["records"]
    return {name: _channel(folder, name, form) for name in counts}, counts["train"]


def _channel(folder: Path, name: str, form: Form) -> Path:
    return folder / (manifest_name(name) if form is JPEG else name)


def _form(request: Mapping[str, Any], dataset: str) -> Form:
    """The form of the records that the request declares; photographs one by one are measured as a stream."""
    forms = DATASETS[dataset].FORMS
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3DataType") == "AugmentedManifestFile":
            return JPEG
        declared = next((form for form in forms.values() if form.content_type == channel.get("ContentType")), None)
        if declared and declared.content_type:
            return declared
    return default_form(DATASETS[dataset])
