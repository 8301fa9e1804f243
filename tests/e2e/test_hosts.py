"""Jobs of two hosts, as a person starts them, under bubblewrap."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.conftest import RunJob, command, read_job


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
    job = run_job("--hosts", "2", "--epochs", "2", "--runtime", "process", "--hyperparameters", "batch_size=64")

    assert job.exit_code == 0, job.err
    sums = re.findall(r"rank (\d) of 2: weights sha256 (\w{64}), the same on all", job.out + job.err)
    assert sorted(rank for rank, _ in sums) == ["0", "1"]
    assert len({checksum for _, checksum in sums}) == 1
    assert len([line for line in job.out.splitlines() if "validation:accuracy=" in line]) == 2, "the first host's alone"
    assert job.metrics["validation:accuracy"] > 0.12


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
