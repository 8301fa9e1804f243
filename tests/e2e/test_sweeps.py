"""Sweeps from YAML on an endpoint on this machine, as a person starts, watches and interrupts them."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.submitting import job_file
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import IMAGE, eventually
from tests.e2e.conftest import JOB_SECONDS, ROOT
from tests.e2e.test_sdk import exported

SECONDS = 60
TUNE, LOCAL_TUNE = str(ROOT / "scripts" / "tune.py"), str(ROOT / "scripts" / "local_tune.py")
SCORE = [{"Name": "score", "Regex": r"score=([0-9.]+);"}]
RATES = {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": 0.01, "MaxValue": 1}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


def written(folder: Path, name: str, *act: Any, jobs: int = 5, metrics: Any = SCORE) -> Path:
    """A sweep whose trials do `act`, in a file."""
    document = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": RATES,
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": metrics,
            },
            "StaticHyperParameters": {"act": json.dumps(act)},
            "OutputDataConfig": {"S3OutputPath": "s3://BUCKET/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large"},
        },
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def started(server: Server, home: Path, sweep: Path) -> subprocess.Popen[str]:
    """The command, typed in a shell that is led to the endpoint."""
    caller = {**exported(server), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    command = [sys.executable, TUNE, str(sweep), "--bucket", f"s3://{BUCKET}", "--output", str(home / "left")]
    return subprocess.Popen(command, env=caller, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_sweep_ends_with_its_best_request_which_trains_as_the_trial_did(server: Server, tmp_path: Path):
    process = started(server, tmp_path, written(tmp_path, "whole", "learn", 2))
    said, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 0, said
    values = [float(value) for value in re.findall(r"^ +\d+  Completed +\S+ s +([0-9.]+)", said, re.MULTILINE)]
    assert len(values) == 5
    assert f"best score = {max(values):.5g}" in said
    left = tmp_path / "left" / "whole"
    assert {path.name for path in left.iterdir()} == {
        "best.yaml", "importance.png", "parallel_coordinates.png", "sweep.html",
    }  # fmt: skip
    best = job_file.placed(job_file.read(left / "best.yaml"), f"s3://{BUCKET}")
    rate = float(best["HyperParameters"]["rate"])
    assert max(values) == pytest.approx(1 - abs(rate - 0.3), abs=1e-4)
    sent = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "submit_training.py"), str(left / "best.yaml"),
         "--bucket", f"s3://{BUCKET}", "--wait"],
        env={**exported(server), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stdout + sent.stderr
    (value,) = re.findall(r"metric  score = ([0-9.]+)", sent.stdout)
    assert float(value) == pytest.approx(max(values), abs=1e-4)


def test_interrupt_stops_the_sweep_and_its_trials(server: Server, tmp_path: Path):
    process = started(server, tmp_path, written(tmp_path, "stopped", "wait_for_stop"))
    client = server.client("sagemaker")

    def running() -> int:
        # Before the command has sent it, there is none.
        if not client.list_hyper_parameter_tuning_jobs(NameContains="stopped")["HyperParameterTuningJobSummaries"]:
            return 0
        asked = client.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
        names = [each["TrainingJobName"] for each in asked["TrainingJobSummaries"]]
        return sum(server.describe(name)["SecondaryStatus"] == "Training" for name in names)

    eventually(lambda: running() == 2, SECONDS)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 2, said
    assert "stopping the sweep" in said
    assert "stopped: Random, Stopped, 2 of 5 trials; no trial has a value" in said
    described = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert described["TrainingJobStatusCounters"]["Stopped"] == 2
    assert "Traceback" not in said


def test_regex_that_matches_nothing_ends_the_sweep_with_the_line_it_should_have_matched(server: Server, tmp_path: Path):
    wrong = [{"Name": "score", "Regex": "scores: ([0-9.]+)"}]
    process = started(server, tmp_path, written(tmp_path, "nothing", "learn", 2, jobs=50, metrics=wrong))
    said, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 1, said
    assert "its Regex            scores: ([0-9.]+)" in said
    assert "should have matched  epoch=1 score=" in said
    found = server.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="nothing")
    assert sum(found["TrainingJobStatusCounters"].values()) <= 4


@pytest.mark.soak
@pytest.mark.parametrize("framework", ["pytorch", "keras"])
def test_workshops_plan_runs_on_the_drawn_sample(framework: str, tmp_path: Path):
    state = tmp_path / "state"
    command = [sys.executable, LOCAL_TUNE, "--framework", framework, "--state", str(state), "--runtime", "process"]
    command += ["--hyperparameters", "epochs=4"]  # as PyTorch's plan has; Keras's 2 learn little at its rates
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * JOB_SECONDS)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "6 of 6 ended, 0 run" in done.stdout
    (folder,) = (state / "sweeps").iterdir()
    request = job_file.read(folder / "best.yaml")
    assert request["AlgorithmSpecification"]["TrainingImage"] == framework
    assert {"learning_rate", "batch_size", "epochs"} <= set(request["HyperParameters"])
    (value,) = re.findall(r"best validation:accuracy = ([0-9.]+): trial", done.stdout)
    assert float(value) > 0.2, "guessing gives 0.1"
    assert not list(state.glob("endpoint.json"))
