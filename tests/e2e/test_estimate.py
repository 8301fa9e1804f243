"""What an estimate stands on: short jobs of the real programs on this machine."""

import os
from pathlib import Path

import pytest

from scripts.submitting import job_file, measuring
from scripts.submitting.errors import SubmitError
from tests.e2e.conftest import ROOT

SMALL = {
    "pytorch-cifar10": {"model": "net", "batch_size": "64", "crop_padding": "0"},
    "pytorch-cub200": {"model": "resnet18", "image_size": "32"},
}


def measure(name: str, state: Path, *, afresh: bool = True, **hyperparameters: str) -> measuring.Measured:
    document = job_file.placed(job_file.read(ROOT / "examples" / "jobs" / f"{name}.yaml"), "s3://nowhere")
    request = job_file.with_hyperparameters(document, {**SMALL[name], **hyperparameters})
    framework, _, dataset = name.partition("-")
    return measuring.find(request, framework, dataset, afresh=afresh, state=state)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "batch_size"), [("pytorch-cifar10", 64), ("pytorch-cub200", 32)])
def test_program_of_the_job_is_measured_and_remembered(tmp_path: Path, name: str, batch_size: int):
    measured = measure(name, tmp_path)

    assert measured.batch_size == batch_size
    assert measured.images_per_second > 1
    assert measured.mb_per_second > 1
    assert measured.cores == len(os.sched_getaffinity(0))
    # Another number of epochs is the same measurement; other hyperparameters are not.
    assert measure(name, tmp_path, afresh=False, epochs="99") == measured
    notes = [path for path in (tmp_path / "estimates").iterdir() if path.suffix == ".json"]
    assert len(notes) == 1
    assert [path for path in (tmp_path / "estimates").iterdir() if path.is_dir()] == []


def test_job_that_would_fail_on_aws_fails_here_and_says_why(tmp_path: Path):
    with pytest.raises(SubmitError, match=r"(?s)The job that measures failed on this machine.*learning_rat"):
        measure("pytorch-cifar10", tmp_path, learning_rat="0.1")
