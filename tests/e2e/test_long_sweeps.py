"""Sweeps of many trials: nothing grows, nothing is left, none is lost when the service is killed amid them."""

import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_mode.jobs.forking import FORK, TAG
from local_mode.page.access import link
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually, processes
from tests.contract.tuning import OVER, create, describe
from tests.e2e.conftest import ROOT

SEED = 8
PAGE_SECONDS = 1.0
GROWTH_KILOBYTES = 400
"""A trial: its record in the lists of a tuning job and of moto's logs."""
WARM_UP = 4
"""Trials that a service runs before growth is counted: it loads its client of S3 for the first."""
END_SECONDS = 1200
HYPERBAND_SECONDS = 180
"""On two quiet cores; the test is for leaks and ends, the figure for whoever runs it on a quiet machine."""


def resident(server: Server) -> int:
    """Kilobytes of the service."""
    text = Path("/proc", str(server.process.pid), "status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def descriptors(server: Server) -> int:
    return len(list(Path("/proc", str(server.process.pid), "fd").iterdir()))


def page_seconds(server: Server) -> float:
    """Until the list of jobs is there, as a browser asks for it."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({}))
    found = server.found
    opener.open(link(found["url"], found["secret"], time.time()), timeout=20).read()
    start = time.monotonic()
    assert opener.open(f"{found['url']}/", timeout=20).read()
    return time.monotonic() - start


def all_trials(server: Server, name: str) -> list[dict[str, object]]:
    client = server.client("sagemaker")
    pages = client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    return [each for page in pages.paginate(HyperParameterTuningJobName=name) for each in page["TrainingJobSummaries"]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = [path for path in tmp_path.rglob("*") if path.is_fifo()]
    assert left == []


@pytest.mark.parametrize("jobs", [30, pytest.param(200, marks=pytest.mark.soak)])
def test_long_sweep_grows_nothing_leaves_nothing_and_survives_a_kill(folder: Path, jobs: int):
    server = Server.start(folder, "--stop-grace", "5")
    server.client("s3").create_bucket(Bucket=BUCKET)
    pause = 0.05 if jobs < 100 else 0.5
    tags = [{"Key": TAG, "Value": FORK}]
    create(server, "long", ["learn", 2, pause], jobs=jobs, parallel=2, RandomSeed=5, Tags=tags)

    def ended() -> int:
        return sum(describe(server, "long")["TrainingJobStatusCounters"].values()) - 2

    def completed() -> int:
        return describe(server, "long")["TrainingJobStatusCounters"]["Completed"]

    eventually(lambda: ended() >= jobs // 3, END_SECONDS)
    time.sleep(random.Random(SEED).uniform(0, 1))
    begun = {str(each["TrainingJobName"]): each["TunedHyperParameters"] for each in all_trials(server, "long")}
    server.process.kill()
    server.process.wait(20)
    server = Server.start(folder, "--stop-grace", "5")
    try:
        start = completed()
        eventually(lambda: completed() >= start + WARM_UP, END_SECONDS)
        before = (resident(server), descriptors(server), ended())
        eventually(lambda: describe(server, "long")["HyperParameterTuningJobStatus"] in OVER, END_SECONDS)
        after = (resident(server), descriptors(server), jobs)
        page = page_seconds(server)
        described = describe(server, "long")
        found = {str(each["TrainingJobName"]): each["TunedHyperParameters"] for each in all_trials(server, "long")}
        print(f"{jobs} trials: {before} -> {after} (KB, descriptors, trials); page {page:.2f} s")

        assert described["HyperParameterTuningJobStatus"] == "Completed"
        assert sorted(int(name.split("-")[1]) for name in found) == list(range(1, jobs + 1)), "none lost, none twice"
        assert {name: found.get(name) for name in begun} == begun
        lost = described["TrainingJobStatusCounters"]["RetryableError"]
        assert lost <= 2, "those that ran when the service was killed"
        assert described["TrainingJobStatusCounters"]["Completed"] == jobs - lost
        assert after[0] - before[0] < GROWTH_KILOBYTES * (after[2] - before[2]) + 8192
        assert after[1] <= before[1] + 8
        assert page < PAGE_SECONDS * (1 if jobs >= 100 else 5)
        jobs_of_service = [each.name for each in (server.root / "jobs").iterdir()]
        server.cleared(*jobs_of_service)
        assert [name for name in jobs_of_service if processes(server.root / "jobs" / name)] == []
        assert [name for name in jobs_of_service if (server.root / "jobs" / name / "scratch").exists()] == []
    finally:
        assert server.end() == 0
    assert list((server.root / "fork-servers").glob("*")) == []
    assert "Traceback" not in server.log.read_text()


@pytest.mark.soak
def test_thirty_trials_of_hyperband_on_ten_thousand_images_end(tmp_path: Path):
    sweep = (ROOT / "examples" / "tuning" / "pytorch-cifar10.yaml").read_text()
    assert "MaxNumberOfTrainingJobs: 6" in sweep
    assert "Strategy: Bayesian" in sweep
    path = tmp_path / "hyperband.yaml"
    path.write_text(
        sweep.replace("MaxNumberOfTrainingJobs: 6", "MaxNumberOfTrainingJobs: 30").replace(
            "Strategy: Bayesian",
            "Strategy: Hyperband\n  StrategyConfig: {HyperbandStrategyConfig: {MinResource: 1, MaxResource: 9}}",
        )
    )
    command = [sys.executable, str(ROOT / "scripts" / "local_tune.py"), "--runtime", "process", "--sweep", str(path)]
    command += ["--state", str(tmp_path / "state"), "--hyperparameters", "epochs=9"]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=END_SECONDS)
    seconds = time.monotonic() - start

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "30 of 30 ended, 0 run" in done.stdout
    print(f"30 trials: {seconds:.0f} s, wanted {HYPERBAND_SECONDS}")
