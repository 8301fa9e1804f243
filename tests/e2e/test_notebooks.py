"""The notebooks, run from top to bottom as they are, on an endpoint that the test starts; no network."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from scripts.environments import project
from scripts.images.entry import image_name
from scripts.local_job import stand_in
from tests.e2e.conftest import ROOT

SECONDS = 580
LOCAL_MODE = (sys.executable, "-m", "local_mode")
FRAMEWORKS = ("pytorch", "keras")


def run(folder: Path, *command: str, **environment: str) -> str:
    """What a command says, which must succeed."""
    caller = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/containers/common", **environment}
    done = subprocess.run(command, cwd=folder, env=caller, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What leads a shell to an endpoint with both frameworks, as processes."""
    folder = tmp_path_factory.mktemp("endpoint")
    stand_ins = {image_name(name): stand_in(name, None) for name in FRAMEWORKS}
    (folder / "stand-ins.json").write_text(json.dumps(stand_ins))
    options = ("--port", "0", "--runtime", "process", "--stand-ins", str(folder / "stand-ins.json"))
    run(folder, *LOCAL_MODE, "serve", "--background", *options)
    try:
        words = run(folder, *LOCAL_MODE, "env").splitlines()
        exports = [word for line in words if line.startswith("export ") for word in shlex.split(line)[1:]]
        yield dict(word.split("=", 1) for word in exports)
    finally:
        run(folder, *LOCAL_MODE, "down")


def executed(name: str, out: Path, exported: dict[str, str]) -> str:
    """What a notebook shows in the end."""
    interpreter = str(project.make_apart("notebooks"))
    run(ROOT, interpreter, "scripts/run_notebook.py", name, "--out", str(out), PYTHONPATH="", **exported)
    return (out / f"{name}.md").read_text()


def left(exported: dict[str, str]) -> tuple[list[str], list[str], list[str]]:
    """Training jobs, tuning jobs and objects that there are."""
    clients = {
        name: boto3.client(
            name,
            endpoint_url=exported["AWS_ENDPOINT_URL"],
            region_name=exported["AWS_REGION"],
            aws_access_key_id=exported["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=exported["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )
        for name in ("sagemaker", "s3")
    }
    training = clients["sagemaker"].list_training_jobs()["TrainingJobSummaries"]
    tuning = clients["sagemaker"].list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    buckets = [bucket["Name"] for bucket in clients["s3"].list_buckets()["Buckets"]]
    objects = [
        entry["Key"] for name in buckets for entry in clients["s3"].list_objects_v2(Bucket=name).get("Contents", ())
    ]
    return (
        [job["TrainingJobName"] for job in training],
        [job["HyperParameterTuningJobName"] for job in tuning],
        objects,
    )


@pytest.mark.soak
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_cifar10_notebook_trains_tunes_compares_and_leaves_nothing(
    tmp_path: Path, exported: dict[str, str], framework: str
):
    shown = executed(f"cv_{framework}_pipe", tmp_path, exported)

    assert "Completed after" in shown
    assert shown.count("![png](") == 3, "samples, curves, confusion matrix"
    table = shown.partition("## Comparing the trials")[2]
    assert table.count("-tune-00") >= 9, "three trials, in three tables"
    assert "1 experiments: cifar10-" in shown
    assert "4 training jobs: cifar10-" in shown
    assert shown.partition("deleted; left of ")[2].count("   0 ") == 6
    assert left(exported) == ([], [], [])


@pytest.mark.soak
def test_notebook_of_photographs_shows_birds_trains_on_them_and_leaves_nothing(
    tmp_path: Path, exported: dict[str, str]
):
    shown = executed("cub200_dali", tmp_path, exported)

    assert "Completed after" in shown
    assert shown.count("![png](") == 4, "samples, curves, confusion matrix, mistakes"
    assert "DALI cannot be loaded" in shown
    assert left(exported) == ([], [], [])
