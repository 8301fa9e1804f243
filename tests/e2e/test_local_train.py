import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import EndedJob, RunJob, command, read_job


def test_first_contact_trains_the_sample_from_a_stream_to_a_model(run_job: RunJob, runtime: str):
    job = run_job("--epochs", "2", "--runtime", runtime)

    assert job.exit_code == 0, job.err
    assert job.record["TrainingJobStatus"] == "Completed"
    assert "data: a drawn sample, not cifar10 itself" in job.err
    assert len(epoch_lines(job)) == 2
    assert job.metrics["validation:accuracy"] > 0.3
    assert names_in(job.folder / "model.tar.gz") == ["config.json", "labels.json", "weights.pt"]
    assert {"logs", "model.tar.gz", "output.tar.gz", "request.json"} <= {path.name for path in job.folder.iterdir()}


def test_input_mode_makes_no_difference_to_what_is_learnt(run_job: RunJob):
    jobs = [
        run_job("--epochs", "1", "--runtime", "process", "--input-mode", mode, state=mode)
        for mode in ("Pipe", "File", "FastFile")
    ]

    assert jobs[0].metrics == jobs[1].metrics == jobs[2].metrics


@pytest.mark.parametrize("form", ["tfrecord", "recordio"])
def test_format_makes_no_difference_to_what_is_learnt(run_job: RunJob, form: str):
    jobs = [run_job("--epochs", "1", "--runtime", "process", "--format", name, state=name) for name in ("fixed", form)]

    assert jobs[0].exit_code == jobs[1].exit_code == 0, jobs[1].err
    assert jobs[0].metrics == jobs[1].metrics


def test_unknown_hyperparameter_fails_the_job_and_is_named(run_job: RunJob):
    job = run_job("--hyperparameters", "learning_rat=0.1", "--runtime", "process")

    assert job.exit_code == 1
    assert job.record["TrainingJobStatus"] == "Failed"
    assert "learning_rat" in job.record["FailureReason"]


def test_two_runs_give_the_same_weights_to_the_bit(run_job: RunJob, runtime: str):
    jobs = [run_job("--epochs", "2", "--runtime", runtime, state=state) for state in ("one", "two")]

    first, second = (content(job.folder / "model.tar.gz", "weights.pt") for job in jobs)
    assert first == second


def test_interrupt_stops_the_job_once_and_leaves_a_checkpoint(tmp_path: Path, runtime: str):
    started = command("scripts/local_train.py", tmp_path, "--epochs", "500", "--runtime", runtime)
    with subprocess.Popen(
        started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if "validation:accuracy" in line:
                break
        os.killpg(process.pid, signal.SIGINT)  # to the whole group, as a terminal does
        asked = time.monotonic()
        out, err = process.communicate(timeout=120)
        seconds = time.monotonic() - asked

    job = read_job(tmp_path, process.returncode, out, err)
    assert (job.exit_code, job.record["TrainingJobStatus"]) == (2, "Stopped"), err
    assert seconds < 30
    assert "killing" not in err
    assert any((job.folder / "checkpoints").iterdir())
    assert not (job.folder / "scratch").exists()


@pytest.mark.parametrize("mode", ["Pipe", "File"])
def test_script_of_ones_own_runs_with_its_own_requirements(run_job: RunJob, runtime: str, mode: str):
    job = run_job("byo_script", "--runtime", runtime, "--input-mode", mode, script="examples/run.py")

    assert job.exit_code == 0, job.err
    assert "note: spaces, 'quotes' and $HOME reach a script as they are" in job.out
    assert "epoch 1: 30.7 MB to learn from" in job.out
    assert job.metrics["validation:accuracy"] > 0.5
    assert names_in(job.folder / "model.tar.gz") == ["model.pt"]


def test_example_that_does_not_exist_is_one_clear_error(tmp_path: Path):
    started = command("examples/run.py", tmp_path, "nope")
    ended = subprocess.run(started, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: example=nope is unknown; it can be: byo_script, keras_2_8, three_lines\n"


@pytest.mark.parametrize("mode", ["Pipe", "FastFile"])
def test_script_of_ones_own_reads_any_input_mode_in_three_lines(run_job: RunJob, runtime: str, mode: str):
    job = run_job("three_lines", "--runtime", runtime, "--input-mode", mode, script="examples/run.py")

    assert job.exit_code == 0, job.err
    assert job.metrics["validation:accuracy"] > 0.7


@pytest.fixture(scope="module")
def accuracies() -> dict[str, float]:
    """What each runtime reached on the real data, for the one that comes after it to compare with."""
    return {}


@pytest.mark.soak  # minutes on a slow machine; the gate has the two epochs below
def test_real_data_reaches_the_accuracy_that_was_promised(
    run_job: RunJob, real_data: Path, runtime: str, accuracies: dict[str, float]
):
    job = run_job("--data", str(real_data), "--epochs", "8", "--runtime", runtime)

    assert job.exit_code == 0, job.err
    assert "50,000 + 10,000 records" in job.err
    assert len(epoch_lines(job)) == 8
    accuracies[runtime] = job.metrics["validation:accuracy"]
    assert accuracies[runtime] >= 0.65
    assert max(accuracies.values()) - min(accuracies.values()) <= 0.01


def test_two_epochs_of_real_data_reach_what_the_workshop_did(run_job: RunJob, real_data: Path):
    job = run_job("--data", str(real_data), "--epochs", "2", "--runtime", "process")

    assert job.metrics["validation:accuracy"] >= 0.537


def epoch_lines(job: EndedJob) -> list[str]:
    return [line for line in job.out.splitlines() if "validation:accuracy=" in line]


def names_in(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def content(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()
