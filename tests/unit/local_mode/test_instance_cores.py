"""A program's share of the cores, over a runner that a test plays."""

import os

import pytest

from local_mode.jobs.create import create
from local_mode.jobs.rules import parse
from local_mode.jobs.task import Settings
from tests.contract.lab import document
from tests.unit.local_mode.fake_runner import FakeRunner

HOSTS = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}


@pytest.mark.parametrize(
    ("cores", "fields", "at_once", "threads"),
    [
        (8, {}, 1, None),
        (8, {}, 2, "4"),
        (8, {}, 3, "2"),
        (8, {"ResourceConfig": HOSTS}, 1, "4"),
        (8, {"ResourceConfig": HOSTS}, 2, "2"),
        (2, {}, 5, "1"),
        (8, {"Environment": {"OMP_NUM_THREADS": "7"}}, 2, "7"),
    ],
)
def test_programs_that_run_at_a_time_are_told_to_share_the_cores(
    tmp_path, monkeypatch, cores, fields, at_once, threads
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    runner = FakeRunner(on_start=lambda instance: instance.end())
    request = parse(document("job", ["none"], tmp_path, **fields))
    settings = Settings(shm_bytes=0, grace_seconds=30, region="eu-west-1")
    job = create(request, runner=runner, root=tmp_path / "root", settings=settings, at_once=at_once)

    assert job.wait(20)
    told = [instance.launch.environment.get("OMP_NUM_THREADS") for instance in runner.instances]
    assert told == [threads] * fields.get("ResourceConfig", {"InstanceCount": 1})["InstanceCount"]
    assert job.describe().get("Environment") == fields.get("Environment")
