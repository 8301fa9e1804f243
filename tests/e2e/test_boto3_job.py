"""The README's job by boto3, typed as it says: local-train, an endpoint, its environment, the script."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, RunJob

SECONDS = 300
LOCAL_MODE = (sys.executable, "-m", "local_mode")


@pytest.fixture
def led(tmp_path: Path, run_job: RunJob, runtime: str) -> Iterator[Path]:
    """A folder where `local-train` has run and an endpoint does."""
    trained = run_job("--epochs", "1", "--runtime", runtime, state=".local_mode")
    assert trained.exit_code == 0, trained.err
    stand_ins = tmp_path / ".local_mode" / "stand-ins.json"
    assert stand_ins.exists() == (runtime == "process")
    options = ("--stand-ins", str(stand_ins)) if stand_ins.exists() else ()
    run(tmp_path, *LOCAL_MODE, "serve", "--background", "--port", "0", "--runtime", runtime, *options)
    try:
        yield tmp_path
    finally:
        run(tmp_path, *LOCAL_MODE, "down")


def test_job_of_the_readme_runs_twice_as_it_stands(led: Path):
    typed = 'eval "$("$0" -m local_mode env)" && exec "$0" "$1"'
    for _ in range(2):  # the bucket and its objects are there the second time
        said = run(led, "sh", "-c", typed, sys.executable, str(ROOT / "examples" / "boto3_job.py"))

    assert ": Completed" in said
    assert "epoch=2 " in said
    assert float(said.rpartition("validation:accuracy = ")[2]) > 0.3
    assert (led / "model.tar.gz").stat().st_size > 0


def run(folder: Path, *command: str) -> str:
    """What a command says, which must succeed."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/containers/common"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
