"""SIGTERM at random steps and moments: the job ends well, and its successor ends with the very same weights."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from trainjob.contract import FILE, PIPE
from trainjob.training import checkpoint

pytestmark = [pytest.mark.timeout(180), pytest.mark.drill]

RUN_SECONDS = 60
STEPS = 2 * 33
"""Of a job: two epochs of 257 images in batches of 8."""
JOBS = {
    "sgd": {"mode": PIPE, "crop_padding": "2"},
    "adamw": {"mode": FILE, "optimizer": "adamw", "learning_rate": "0.003", "cache": "true"},
    "bf16": {"mode": PIPE, "precision": "bf16", "label_smoothing": "0.1", "shuffle_window": "0"},
}
PER_JOB = 10
"""Interruptions: 30 in all."""

Weights = dict[str, torch.Tensor]


class Server:
    """The process that forks the program."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.pytorch_job.fork_server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip

    def run(self, job, step: int | None = None, meanwhile: Callable[[int], None] = lambda pid: None) -> int:
        """Run a job to its end; the exit code, or minus the signal that killed it."""
        with job.fed():
            request = {"base": str(job.paths.base), "log": str(log_file(job)), "step": step}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            meanwhile(int(self._process.stdout.readline()))
            return int(self._process.stdout.readline())

    def end(self) -> None:
        """No more jobs."""
        self._process.stdin.close()
        assert self._process.wait(RUN_SECONDS) == 0
        self._process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.end()


def weights(job) -> Weights:
    return torch.load(job.paths.model / "weights.pt", weights_only=True)


def log_file(job) -> Path:
    return job.paths.base / "log"


def log(job) -> str:
    return log_file(job).read_text() if log_file(job).exists() else ""


def successor(make_job, job, name: str, **settings: str):
    """The job that goes on in another container: it has nothing but the checkpoints."""
    made = make_job(name, **settings)
    made.paths.checkpoints.mkdir(parents=True)
    shutil.copytree(job.paths.checkpoints, made.paths.checkpoints, dirs_exist_ok=True)
    return made


def check_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("kind", JOBS)
def test_job_stopped_at_random_steps_and_resumed_ends_with_the_same_weights(server, make_job, kind):
    settings = {**JOBS[kind], "batch_size": "8"}
    whole = make_job("whole", **settings)
    assert server.run(whole) == 0, log(whole)
    expected = weights(whole)
    for step in random.Random(kind).sample(range(STEPS), PER_JOB):
        stopped = make_job(f"stopped-{step}", **settings)
        assert server.run(stopped, step) == 0, log(stopped)
        assert not (stopped.paths.model / "weights.pt").exists(), "it was not stopped"
        assert checkpoint.newest(stopped.paths.checkpoints).step == step + 1, "the step under way is finished"
        resumed = successor(make_job, stopped, f"resumed-{step}", **settings)
        assert server.run(resumed) == 0, log(resumed)
        assert f"step {step + 1}\n" in log(resumed)
        check_same(weights(resumed), expected)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def begins_to_listen(job) -> float:
    """Wait until a job listens to signals; when that was."""
    wait(lambda: " on cpu" in log(job))
    return time.monotonic()


def test_job_stopped_again_and_again_at_random_moments_ends_with_the_same_weights(server, make_job):
    settings = {**JOBS["sgd"], "batch_size": "8"}
    whole = make_job("whole", **settings)
    spans: list[float] = []

    def look(_: int) -> None:
        begun = begins_to_listen(whole)
        wait((whole.paths.model / "weights.pt").exists)  # what comes after it is no training
        spans.append(time.monotonic() - begun)

    assert server.run(whole, meanwhile=look) == 0, log(whole)
    (took,), moments = spans, random.Random(5)

    def stop(pid: int) -> None:
        begins_to_listen(job)
        time.sleep(moments.uniform(0, took / 3))
        with suppress(ProcessLookupError):  # it may just have ended
            os.kill(pid, signal.SIGTERM)

    job = make_job("part-0", **settings)
    stops = 0
    while not (job.paths.model / "weights.pt").exists():
        assert server.run(job, meanwhile=stop if stops < 8 else lambda pid: None) == 0, log(job)
        if not (job.paths.model / "weights.pt").exists():
            stops += 1
            job = successor(make_job, job, f"part-{stops}", **settings)
    assert stops > 2
    check_same(weights(job), weights(whole))
