"""The SageMaker SDK, unchanged, in an environment of its own, against the endpoint."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.environments import project
from tests.contract.endpoint import BUCKET, Server, environment
from tests.contract.lab import IMAGE

PROGRAMS = Path(__file__).parent / "sdk"
SDK_SECONDS = 180


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    yield made
    assert made.end() == 0


def exported(server: Server) -> dict[str, str]:
    """What `eval "$(local-mode env)"` sets."""
    command = [sys.executable, "-m", "local_mode", "env", "--root", str(server.root)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=30)
    words = [word for line in done.stdout.splitlines() if line.startswith("export ") for word in shlex.split(line)[1:]]
    return dict(word.split("=", 1) for word in words)


def test_estimator_of_sdk_v2_fits_follows_the_log_and_learns_why_a_job_failed(server: Server, tmp_path: Path):
    command = [str(project.make_sdk("v2")), str(PROGRAMS / "v2_estimator.py"), IMAGE, BUCKET]
    caller = {**exported(server), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        command, env=caller, capture_output=True, text=True, check=False, timeout=SDK_SECONDS, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.rpartition("ANSWER ")[2])
    assert answer["status"] == "Completed"
    assert answer["metrics"] == {"loss": pytest.approx(1 / 3, abs=1e-3)}
    assert answer["model_bytes"] > 0
    assert "Reason: AlgorithmError: why, exit code: 3" in answer["reason"]
    assert [line for line in done.stdout.splitlines() if "epoch=2 channel=train loss=0.333;" in line]
