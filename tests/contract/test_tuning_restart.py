"""Contract 4.7: a tuning job whose service is ended or killed in the middle goes on in the next one."""

import random
import signal
import time

import pytest

from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually, processes
from tests.contract.tuning import create, describe, ended, trials

pytestmark = pytest.mark.contract("endpoint", "U")
SEED = 8
JOBS = 12


def started_again(server, folder, number):
    if number == signal.SIGKILL:
        server.process.kill()
        server.process.wait(20)
    else:
        assert server.end(number) == 0
    return Server.start(folder, "--stop-grace", "5")


@pytest.mark.contract(
    "endpoint", "U", "a tuning job goes on after kill -9 and after SIGTERM: no trial lost, none run twice"
)
def test_tuning_job_survives_services_that_are_killed_and_ended(tmp_path):
    server = Server.start(tmp_path, "--stop-grace", "5")
    server.client("s3").create_bucket(Bucket=BUCKET)
    create(server, "long", ["learn", 3, 0.2], jobs=JOBS, parallel=2, RandomSeed=5)
    chance, seen = random.Random(SEED), {}
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        begun = len(trials(server, "long"))
        eventually(lambda begun=begun, on=server: len(trials(on, "long")) > begun)
        time.sleep(chance.uniform(0.0, 1.0))
        before = {each["TrainingJobName"]: each["TunedHyperParameters"] for each in trials(server, "long")}
        seen |= before
        server = started_again(server, tmp_path, number)
        assert "long" in server.log.read_text().rpartition("going on with tuning job ")[2]
    described = ended(server, "long")
    found = {each["TrainingJobName"]: each["TunedHyperParameters"] for each in trials(server, "long")}

    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert sum(described["TrainingJobStatusCounters"].values()) == len(found) == JOBS
    assert {name: found.get(name) for name in seen} == seen
    assert sorted(int(name.split("-")[1]) for name in found) == list(range(1, JOBS + 1))
    ended_by_kill = [each for each in trials(server, "long") if each["TrainingJobStatus"] == "Failed"]
    assert all(each["FailureReason"].startswith("InternalServerError: local_mode was killed") for each in ended_by_kill)
    assert described["TrainingJobStatusCounters"]["RetryableError"] == len(ended_by_kill)
    assert described["TrainingJobStatusCounters"]["Completed"] >= 1
    jobs = [job["TrainingJobName"] for job in server.client("sagemaker").list_training_jobs(MaxResults=100)[
        "TrainingJobSummaries"]]  # fmt: skip
    assert sorted(jobs) == sorted(found)
    server.cleared(*found)
    assert [name for name in found if processes(server.root / "jobs" / name)] == []
    assert server.end() == 0


def test_tuning_job_that_was_being_stopped_is_stopped_after_a_kill(tmp_path):
    server = Server.start(tmp_path, "--stop-grace", "30")
    server.client("s3").create_bucket(Bucket=BUCKET)
    create(server, "stopping", ["ignore_stop"], jobs=4, parallel=2)
    eventually(lambda: [server.describe(each["TrainingJobName"])["SecondaryStatus"]
                        for each in trials(server, "stopping")] == ["Training"] * 2)  # fmt: skip
    server.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopping")
    assert describe(server, "stopping")["HyperParameterTuningJobStatus"] == "Stopping"
    server = started_again(server, tmp_path, signal.SIGKILL)

    assert ended(server, "stopping")["HyperParameterTuningJobStatus"] == "Stopped"
    assert len(trials(server, "stopping")) == 2
    assert server.end() == 0
