"""Fixtures of the end-to-end tests: whole jobs, started as a person starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from trainjob import cub200

from scripts.datasets import birds

ROOT = Path(__file__).resolve().parents[2]
JOB_SECONDS = 900
"""Bounds a job; with it the first installation of the framework."""
PREPARE_SECONDS = 300
PHOTOGRAPHS = 8
"""Of a species, half of them for training: a tenth of the sample, which takes a tenth of its time."""


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """How a job ended, and what it left."""

    exit_code: int
    out: str
    err: str
    folder: Path
    record: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric, as DescribeTrainingJob tells it."""
        return {metric["MetricName"]: metric["Value"] for metric in self.record["FinalMetricDataList"]}


RunJob = Callable[..., EndedJob]


def read_job(state: Path, exit_code: int, out: str, err: str) -> EndedJob:
    """The one job that `state` holds."""
    folders = list((state / "jobs").iterdir()) if (state / "jobs").exists() else []
    assert len(folders) == 1, f"{len(folders)} jobs; {out}\n{err}"
    record = json.loads((folders[0] / "job.json").read_text())
    return EndedJob(exit_code=exit_code, out=out, err=err, folder=folders[0], record=record)


def command(script: str, state: Path, *arguments: str) -> list[str]:
    """What starts a job whose traces all lie in `state`."""
    return [sys.executable, str(ROOT / script), "--state", str(state), *arguments]


@pytest.fixture
def run_job(tmp_path: Path) -> RunJob:
    """Runs a job to its end."""

    def run(*arguments: str, script: str = "scripts/local_train.py", state: str = "state") -> EndedJob:
        started = command(script, tmp_path / state, *arguments)
        ended = subprocess.run(started, capture_output=True, text=True, timeout=JOB_SECONDS, check=False)
        return read_job(tmp_path / state, ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture(params=["process", "docker"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each way to run a job; Docker where an engine has the image."""
    if request.param == "docker":
        request.getfixturevalue("pytorch_image")
    return str(request.param)


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 itself, in its published layout: REAL_DATA, or unpacked from the folder `shared` beside the project."""
    given = Path(os.environ.get("REAL_DATA") or ROOT.parent / "shared" / "data")
    if not (given / "unpack.py").exists():
        if "REAL_DATA" in os.environ:
            return given
        pytest.skip(f"no real data: {given} has none, and REAL_DATA names no folder of CIFAR-10's published files")
    folder = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, given / "unpack.py", "cifar10", folder], check=True, timeout=JOB_SECONDS)
    return folder


@pytest.fixture(scope="session")
def few_birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Channels of a few drawn photographs."""
    folder = tmp_path_factory.mktemp("birds")
    published, out = folder / cub200.FOLDER, folder / "channels"
    birds.write(published, photographs=PHOTOGRAPHS)
    command = [sys.executable, ROOT / "scripts/prepare_data.py", "cub200", "--from", published, "--out", out]
    subprocess.run([*command, "--validation", "0.25"], check=True, timeout=PREPARE_SECONDS)
    return out
