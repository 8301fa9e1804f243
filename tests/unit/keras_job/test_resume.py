"""SIGTERM at random moments, in processes of their own: the job ends well, its successor ends with the same state."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from trainjob.contract import FILE, PIPE
from trainjob.training import checkpoint

pytestmark = [pytest.mark.timeout(400), pytest.mark.drill]

RUN_SECONDS = 120
SETTINGS = {"batch_size": "8", "crop_padding": "2", "epochs": "3"}


def log_file(job) -> Path:
    return job.paths.base / "log"


def start(job) -> subprocess.Popen:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "SAGEMAKER_BASE_DIR": str(job.paths.base),
    }
    with log_file(job).open("ab") as log:
        command = [sys.executable, "-m", "keras_job.train_cifar10"]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def wait_for(job, text: str) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while text not in log_file(job).read_text():
        assert time.monotonic() < deadline, log_file(job).read_text()
        time.sleep(0.01)


def state(job) -> dict[str, np.ndarray]:
    with np.load(checkpoint.newest(job.paths.checkpoints).path) as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def test_job_stopped_at_random_moments_and_resumed_ends_with_the_same_state(make_job):
    moments, stops = random.Random(7), 0
    whole = make_job("whole", FILE, **SETTINGS)
    with whole.fed():
        process = start(whole)
        wait_for(whole, "epoch=1 ")
        begun = time.monotonic()
        assert process.wait(RUN_SECONDS) == 0, log_file(whole).read_text()
        took = time.monotonic() - begun
    job = make_job("part-0", PIPE, **SETTINGS)
    while not (job.paths.model / "model.keras").exists():
        if stops:
            finished, job = job, make_job(f"part-{stops}", PIPE, **SETTINGS)
            job.paths.base.mkdir(parents=True)
            shutil.copytree(finished.paths.checkpoints, job.paths.checkpoints)
        with job.fed():
            process = start(job)
            if stops < 3:
                wait_for(job, " on cpu")  # from here on it listens
                time.sleep(moments.uniform(0, took / 2))
                process.send_signal(signal.SIGTERM)
            stops += 1
            assert process.wait(RUN_SECONDS) == 0, log_file(job).read_text()
    assert stops > 1
    expected, found = state(whole), state(job)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []


def test_job_that_waits_for_data_stops_when_asked(make_job):
    job = make_job(mode=PIPE, **SETTINGS)
    job.environment()
    os.mkfifo(job.paths.fifo("train", 0))  # nobody writes to it
    process = start(job)
    wait_for(job, " on cpu")
    time.sleep(3)  # into the wait for the first batch, where no handler in Python runs
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()

    assert process.wait(RUN_SECONDS) == 0, log_file(job).read_text()
    assert time.monotonic() - asked < 20
    assert "stopped in epoch 1 after batch 0" in log_file(job).read_text()
