"""However a channel brings CIFAR-10's records, the program learns the same: requests written by hand, as users do."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainjob import cifar10, metrics

from scripts.images.entry import image_name
from scripts.local_job import ROLE, stand_in
from tests.e2e.conftest import JOB_SECONDS, ROOT, EndedJob, read_job

IMAGES = {"train": 200, "validation": 50}
EPOCHS = 2


def records(count: int, seed: int) -> Iterator[bytes]:
    """Images in the published layout whose colour tells their class, so that there is something to learn."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        label = int(random.integers(10))
        pixels = random.integers(0, 60, cifar10.RECORD_BYTES - 1, np.uint8) + np.uint8(19 * label)
        yield bytes([label]) + pixels.tobytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same records as one file, as an object each, as gzip objects each, and as manifests of those."""
    folder = tmp_path_factory.mktemp("channels")
    for seed, (channel, count) in enumerate(IMAGES.items()):
        whole, single, packed = (folder / kind / channel for kind in ("fixed", "objects", "packed"))
        for place in (whole, single, packed):
            place.mkdir(parents=True)
        images = list(records(count, seed))
        (whole / "all.bin").write_bytes(b"".join(images))
        names = [f"{number:05}.bin" for number in range(count)]
        for name, image in zip(names, images, strict=True):
            (single / name).write_bytes(image)
            (packed / f"{name}.gz").write_bytes(gzip.compress(image, 1))
        manifest = [{"prefix": f"{packed}/"}, *(f"{name}.gz" for name in names)]
        (folder / f"{channel}.manifest").write_text(json.dumps(manifest))
        lines = [json.dumps({"image-ref": (single / name).as_uri(), "name": name}) for name in names]
        (folder / f"{channel}.jsonl").write_text("\n".join(lines))
    return folder


WRAPPED = {"RecordWrapperType": "RecordIO"}
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # S3Uri below the data's folder, more of S3DataSource, more of the channel
    "fixed": ("fixed/{}/", {}, {}),
    "objects": ("objects/{}/", {}, WRAPPED),
    "files": ("objects/{}/", {}, {"InputMode": "File"}),
    "manifest-gzip": ("{}.manifest", {"S3DataType": "ManifestFile"}, WRAPPED | {"CompressionType": "Gzip"}),
    "augmented": (
        "{}.jsonl",
        {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["image-ref"]},
        WRAPPED,
    ),
    "shuffled": ("objects/{}/", {}, WRAPPED | {"ShuffleConfig": {"Seed": 7}}),
}


def request(form: str, data: Path, state: Path) -> dict[str, Any]:
    uri, source, channel = FORMS[form]
    return {
        "TrainingJobName": form,
        "HyperParameters": {"dataset": "cifar10", "epochs": str(EPOCHS), "batch_size": "20"},
        "AlgorithmSpecification": {
            "TrainingImage": image_name("pytorch"),
            "TrainingInputMode": "Pipe",
            "MetricDefinitions": metrics.definitions(),
        },
        "RoleArn": ROLE,
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{data}/{uri.format(name)}", **source}
                },
                **channel,
            }
            for name in IMAGES
        ],
        "OutputDataConfig": {"S3OutputPath": str(state / "output")},
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def train(form: str, data: Path, state: Path) -> EndedJob:
    state.mkdir()
    (state / "request.json").write_text(json.dumps(request(form, data, state)))
    (state / "stand-ins.json").write_text(json.dumps({image_name("pytorch"): stand_in("pytorch", None)}))
    command = [sys.executable, "-m", "local_mode", "train", str(state / "request.json"), "--runtime", "process"]
    command += ["--stand-ins", str(state / "stand-ins.json"), "--root", str(state)]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT}/containers/common"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=JOB_SECONDS, check=False)
    return read_job(state, ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def fixed(data: Path) -> EndedJob:
    """What is learnt from one file of all records, streamed as it is."""
    return train("fixed", data, data / "state")


@pytest.mark.parametrize("form", ["objects", "files", "manifest-gzip", "augmented"])
def test_way_that_records_come_makes_no_difference_to_what_is_learnt(
    form: str, fixed: EndedJob, data: Path, tmp_path: Path
):
    job = train(form, data, tmp_path / "state")

    assert (fixed.exit_code, job.exit_code) == (0, 0), fixed.err + job.err
    assert job.metrics == fixed.metrics
    assert len(job.metrics) == len(metrics.NAMES)


def test_shuffled_objects_are_learnt_from_in_another_order_and_twice_in_the_same(
    fixed: EndedJob, data: Path, tmp_path: Path
):
    jobs = [train("shuffled", data, tmp_path / name) for name in ("one", "two")]

    assert [job.exit_code for job in jobs] == [0, 0], jobs[0].err
    assert jobs[0].metrics == jobs[1].metrics != fixed.metrics
