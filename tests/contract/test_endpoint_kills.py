"""Contract 4.2, 4.3: a service killed at any moment, while short jobs stream through it, and started again."""

import contextlib
import random
import signal
import sqlite3
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local_mode.runners.docker_network import ROOT_LABEL
from local_mode.runners.leftovers import temporary_folder
from tests.contract.endpoint import BUCKET, ENDED, Server, request
from tests.contract.lab import KEPT, eventually, processes

pytestmark = pytest.mark.contract("endpoint", "U")

ACTS = (["end", 0], ["epochs"], ["end", 3, "why"])
SEED = 4
SECONDS = (0.0, 3.0)
"""From a service's first jobs to the kill: they are then at any place between Starting and their last rename."""


class Stream:
    """Creates jobs until the service is gone, and remembers what the service acknowledged and what it said of it."""

    def __init__(self):
        self.error = None
        self.acknowledged = []
        self.seen = {}
        """Descriptions of jobs that had ended."""
        self._asked = 0

    def run(self, server):
        sagemaker = server.client("sagemaker")
        with contextlib.suppress(BotoCoreError, ClientError):  # the service was killed
            while server.process.poll() is None:
                self._asked += 1
                name = f"short-{self._asked:03}"
                act = ACTS[self._asked % len(ACTS)]
                answer = sagemaker.create_training_job(**request(name, act, channels={"train": f"s3://{BUCKET}/in/"}))
                if "TrainingJobArn" not in answer:  # killed behind its first line, which to botocore is an empty answer
                    return
                self.acknowledged.append(name)
                time.sleep(0.1)
                for known in self.acknowledged[-8:]:
                    described = sagemaker.describe_training_job(TrainingJobName=known)
                    if described.get("TrainingJobStatus") in ENDED:
                        self.seen[known] = facts(described)


def facts(description):
    return {key: value for key, value in description.items() if key != "ResponseMetadata"}


def prepare(server):
    """What the jobs read and write; the objects of a service may go with it."""
    s3 = server.client("s3")
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="in/a.txt", Body=b"alpha")


def assert_clean(server, stream, client):
    """Right after a start: every job is known and has ended, and nothing of the dead service is left."""
    sagemaker = server.client("sagemaker")
    pages = sagemaker.get_paginator("list_training_jobs").paginate()
    listed = {job["TrainingJobName"]: job for page in pages for job in page["TrainingJobSummaries"]}
    assert set(stream.acknowledged) <= set(listed)
    assert {job["TrainingJobStatus"] for job in listed.values()} <= set(ENDED)
    with contextlib.closing(sqlite3.connect(server.root / "jobs.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    folders = sorted(server.root.glob("jobs/*"))
    assert {folder.name for folder in folders} == set(listed)
    for folder in folders:
        assert {"job.json"} <= {path.name for path in folder.iterdir()} <= KEPT
        assert not temporary_folder(folder).exists()
    assert not [path for path in server.root.rglob("*") if path.is_fifo()]
    assert processes(server.root / "jobs") == []  # of any job: what marks a job's begins with this
    if client is not None:
        ours = {"label": f"{ROOT_LABEL}={server.root}"}
        assert client.containers.list(all=True, filters=ours) == []
        assert client.networks.list(filters=ours) == []
        assert client.volumes.list(filters=ours) == []
    for name in stream.acknowledged:
        described = sagemaker.describe_training_job(TrainingJobName=name)
        if name in stream.seen:
            assert facts(described) == stream.seen[name]
        elif described["TrainingJobStatus"] == "Failed":
            assert described["FailureReason"].startswith(
                ("InternalServerError: local_mode was killed", "AlgorithmError")
            )
    assert not [path.name for path in server.root.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.drill)])
@pytest.mark.timeout(300)
def test_service_killed_at_random_moments_starts_clean_and_knows_every_job(tmp_path, kind, kills, request):
    client = request.getfixturevalue("docker_client") if kind == "docker" else None
    chance, stream = random.Random(SEED), Stream()
    where = {
        "path": "/nonexistent" if kind == "plain" else None,
        "runtime": "docker" if kind == "docker" else "process",
    }
    for number in range(kills):
        server = Server.start(tmp_path, **where)
        try:
            assert_clean(server, stream, client)
            prepare(server)
            if number == 0:
                server.create("finished", ["end", 0])
                stream.acknowledged.append("finished")
                stream.seen["finished"] = facts(server.ended("finished"))
            if number % 2:  # else it is by chance that a container is there when the kill comes
                endless = f"endless-{number:02}"
                server.create(endless, ["ignore_stop"])
                stream.acknowledged.append(endless)
                eventually(lambda name=endless, on=server: on.log_lines(name) == ["ready"])
            creating = threading.Thread(target=stream.run, args=(server,))
            creating.start()
            before = len(stream.acknowledged)
            if number % 3:  # else the kill may come before anything was asked
                eventually(lambda start=before, on=creating: len(stream.acknowledged) > start or not on.is_alive())
            time.sleep(chance.uniform(*SECONDS))
        finally:
            server.end(signal.SIGKILL)
        creating.join(60)
    last = Server.start(tmp_path, **where)
    try:
        assert_clean(last, stream, client)
    finally:
        assert last.end() == 0
    assert len(stream.acknowledged) >= 2
