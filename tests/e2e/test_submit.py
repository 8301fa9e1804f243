"""Jobs submitted from YAML to an endpoint on this machine: by boto3, and by the code that is printed for both SDKs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.datasets.catalogue import DATASETS, default_form
from scripts.datasets.shards import Sharding
from scripts.environments import project
from scripts.local_job import image_name, stand_in
from tests.contract.endpoint import Server
from tests.e2e.conftest import JOB_SECONDS, ROOT
from tests.e2e.test_sdk import comparable, exported, typed

PROGRAM = (sys.executable, str(ROOT / "scripts" / "submit_training.py"))
BUCKET = "s3://submitted/vision"
SMALL = {
    "pytorch-cifar10": "model=net epochs=1 batch_size=128 learning_rate=0.05 crop_padding=0",
    "keras-cifar10": "model=workshop epochs=1",
    "pytorch-cub200": "model=resnet18 image_size=32 epochs=1 classes=10",
    "keras-cub200": "model=resnet18 image_size=32 epochs=1 classes=10",
}
"""Hyperparameters with which a processor trains the example jobs."""
PLACES = ("CheckpointConfig",)
"""What has the job's name in it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An endpoint that runs our images as processes."""
    folder = tmp_path_factory.mktemp("endpoint")
    stand_ins = {image_name(framework): stand_in(framework, None) for framework in ("pytorch", "keras")}
    (folder / "ours.json").write_text(json.dumps(stand_ins))
    made = Server.start(folder, "--stand-ins", str(folder / "ours.json"))
    yield made
    assert made.end() == 0


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Drawn data sets, prepared, by name."""
    folders = {name: tmp_path_factory.mktemp(name) / "data" for name in DATASETS}
    for name, folder in folders.items():
        dataset = DATASETS[name]
        dataset.prepare(dataset.Drawn(), folder, Sharding(form=default_form(dataset)))
    return folders


def run(server: Server, home: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, typed in a shell that is led to the endpoint; Keras's epoch alone takes minutes on busy cores."""
    job = str(ROOT / "examples" / "jobs" / f"{name}.yaml")
    caller = {**exported(server), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    command = [*PROGRAM, job, "--bucket", BUCKET, *options]
    return subprocess.run(command, env=caller, capture_output=True, text=True, check=False, timeout=JOB_SECONDS)


def submit(server: Server, home: Path, name: str, *options: str) -> str:
    done = run(server, home, name, "--set", SMALL[name], *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.soak
@pytest.mark.parametrize("name", SMALL)
def test_example_job_trains_on_drawn_data(server: Server, drawn: dict[str, Path], tmp_path: Path, name: str):
    data = drawn[name.partition("-")[2]]

    said = submit(server, tmp_path, name, "--upload", str(data), "--wait")

    assert ": Completed" in said
    assert "[algo-1] epoch=1 " in said
    assert "metric  validation:accuracy = " in said
    assert f"model   {BUCKET}/models/{name}-" in said
    assert " Training - " in said


def test_one_file_gives_one_result_by_boto3_and_by_the_code_for_both_sdks(
    server: Server, drawn: dict[str, Path], tmp_path: Path
):
    name = "pytorch-cifar10"
    sent = submit(server, tmp_path, name, "--upload", str(drawn["cifar10"]), "--wait")
    names = {"boto3": sent.partition(":")[0]}
    for version, kind in (("v2", "estimator"), ("v3", "model-trainer")):
        path = tmp_path / f"{version}.py"
        path.write_text(submit(server, tmp_path, name, "--as", kind))
        said = typed(server, tmp_path, str(project.make_sdk(version)), str(path))
        job, _, status = said.strip().splitlines()[-1].partition(": ")
        assert status == "Completed"
        names[version] = job

    described = {client: server.describe(job) for client, job in names.items()}
    assert len(set(names.values())) == 3
    for each in described.values():
        # Below a folder of the job's own, so that no job goes on from another's.
        assert each["CheckpointConfig"]["S3Uri"].startswith(f"{BUCKET}/models/{name}-")
    seen = {client: comparable(each) for client, each in described.items()}
    for place in PLACES:
        assert all(each.pop(place) for each in seen.values())
    expected = seen["boto3"]
    assert expected["EnableManagedSpotTraining"] is True
    assert dict(expected["FinalMetricDataList"])["validation:accuracy"] > 0.15
    for client, each in seen.items():
        assert {key: each.get(key) for key in expected} == expected, client


def test_job_that_fails_ends_the_command_with_its_reason(server: Server, drawn: dict[str, Path], tmp_path: Path):
    options = ("--upload", str(drawn["cifar10"]), "--set", "learning_rat=0.1", "--wait")

    done = run(server, tmp_path, "pytorch-cifar10", *options)

    assert done.returncode == 1, done.stderr
    assert ": Failed" in done.stdout
    assert "learning_rat" in done.stdout.partition("reason  ")[2]
