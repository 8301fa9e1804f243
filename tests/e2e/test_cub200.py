"""Whole jobs on photographs, drawn and real, in both frameworks: any input mode, decoded by DALI or without it."""

import json
import tarfile
from pathlib import Path

import pytest
from trainjob import cub200

from scripts.datasets import birds
from tests.e2e.conftest import EndedJob, RunJob

FRAMEWORKS = ("pytorch", "keras")
SPECIES = [f"{number:03d}.{each.name}" for number, each in enumerate(birds.SPECIES, 1)]
SMALL = ("--dataset", "cub200", "--hyperparameters", "image_size=32 batch_size=16")


def content(job: EndedJob, name: str) -> bytes:
    """A file of the job's model."""
    with tarfile.open(job.folder / "model.tar.gz") as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


def output_names(job: EndedJob) -> set[str]:
    with tarfile.open(job.folder / "output.tar.gz") as tar:
        return {Path(entry.name).name for entry in tar if entry.isfile()}


def test_first_contact_trains_the_drawn_sample_from_a_stream_to_a_model(run_job: RunJob):
    job = run_job(*SMALL[:2], "--epochs", "1", "--runtime", "process", "--hyperparameters", "image_size=32")

    assert job.exit_code == 0, job.err
    assert job.record["TrainingJobStatus"] == "Completed"
    assert "data: a drawn sample, not cub200 itself" in job.err
    assert set(job.metrics) == set(cub200.METRICS)
    assert json.loads(content(job, "labels.json")) == SPECIES
    config = json.loads(content(job, "config.json"))
    assert (config["classes"], config["epochs"], config["image_size"]) == (10, 1, 32)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_input_mode_makes_no_difference_to_what_is_learnt(run_job: RunJob, few_birds: Path, framework: str):
    arguments = ("--framework", framework, *SMALL, "--data", str(few_birds), "--epochs", "1", "--runtime", "process")
    jobs = [run_job(*arguments, "--input-mode", mode, state=mode) for mode in ("Pipe", "File", "FastFile")]

    assert [job.exit_code for job in jobs] == [0, 0, 0], jobs[0].err
    assert set(jobs[0].metrics) == set(cub200.METRICS)
    assert jobs[0].metrics == jobs[1].metrics == jobs[2].metrics
    drawn = {"learning-curve.png", "confusion-matrix.png", "worst-mistakes.png"}
    assert drawn | {"history.csv", "evaluation.json", "per-class.csv"} <= output_names(jobs[0])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_dali_shows_the_same_photographs_from_files_and_from_a_stream(
    request: pytest.FixtureRequest, run_job: RunJob, few_birds: Path, framework: str
):
    request.getfixturevalue(f"{framework}_image")
    small = (*SMALL[:3], f"{SMALL[3]} decoder=dali")
    arguments = ("--framework", framework, *small, "--data", str(few_birds), "--epochs", "1", "--runtime", "docker")
    jobs = [run_job(*arguments, "--input-mode", mode, state=mode) for mode in ("Pipe", "File")]

    assert [job.exit_code for job in jobs] == [0, 0], jobs[0].err
    assert set(jobs[0].metrics) == set(cub200.METRICS)
    assert jobs[0].metrics == jobs[1].metrics
    assert "DALI cannot be loaded" not in jobs[0].out + jobs[0].err
