"""Jobs of two hosts, as a person starts them, under bubblewrap."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import EndedJob, RunJob, command, read_job


def program_of(host: str, state: Path) -> int:
    """The process id of the training program that runs on a host of the one job in `state`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().split(b"\0")
            environ = dict(entry.split(b"=", 1) for entry in (folder / "environ").read_bytes().split(b"\0") if entry)
            mounts = (folder / "mountinfo").read_text()
        except OSError:
            continue
        is_program = b"pytorch_job.train_cifar10" in argv and environ.get(b"RANK") == host.encode()
        if is_program and str(state) in mounts:
            return int(folder.name)
    raise AssertionError(f"no program of rank {host} in {state}")


def test_two_hosts_train_one_model_on_shares_of_a_stream(run_job: RunJob):
    job = run_job(
        "--hosts", "2", "--epochs", "2", "--runtime", "process", "--hyperparameters", "batch_size=64 log_steps=1"
    )

    assert job.exit_code == 0, job.err
    sums = re.findall(r"rank (\d) of 2: weights sha256 (\w{64}), the same on all", job.out + job.err)
    assert sorted(rank for rank, _ in sums) == ["0", "1"]
    assert len({checksum for _, checksum in sums}) == 1
    assert len([line for line in job.out.splitlines() if "validation:accuracy=" in line]) == 2, "the first host's alone"
    assert job.metrics["validation:accuracy"] > 0.12

    # The same two shares, read by two processes of one host from its one FIFO.
    settings = ("--epochs", "2", "--runtime", "process", "--hyperparameters")
    one = run_job(*settings, "batch_size=64 log_steps=1 processes_per_host=2", state="one")

    assert one.exit_code == 0, one.err
    sums = re.findall(r"\[(\d)/2\] rank (\d) of 2: weights sha256 (\w{64})", one.out + one.err)
    assert sorted((place, rank) for place, rank, _ in sums) == [("0", "0"), ("1", "1")]
    assert len({checksum for *_, checksum in sums}) == 1
    assert step_losses(one)[:5] == pytest.approx(step_losses(job)[:5], rel=1e-3)  # other cores, other roundings
    assert len(step_losses(one)) == len(step_losses(job))


def step_losses(job: EndedJob) -> list[float]:
    return [float(found) for found in re.findall(r"train:step_loss=([\d.]+)", job.out)]


def test_killed_program_of_one_host_fails_the_job_within_a_minute_and_names_the_host(tmp_path: Path):
    started = command("scripts/local_train.py", tmp_path, "--hosts", "2", "--epochs", "500", "--runtime", "process")
    with subprocess.Popen(
        started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if "validation:accuracy" in line:
                break
        os.kill(program_of("1", tmp_path), signal.SIGKILL)
        killed = time.monotonic()
        out, err = process.communicate(timeout=120)
        seconds = time.monotonic() - killed

    job = read_job(tmp_path, process.returncode, out, err)
    assert (job.exit_code, job.record["TrainingJobStatus"]) == (1, "Failed"), err
    assert seconds < 60
    assert "algo-2" in job.record["FailureReason"]
