"""Fifty jobs created at the same moment on a machine of few cores: each ends as it should, and none of them waits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from local_mode.runners import bubblewrap
from tests.containers import miss
from tests.contract.endpoint import BUCKET, Server, request
from tests.contract.lab import eventually, processes

JOBS = 50
END_SECONDS = 240
SLIM = "debian:trixie-slim"
"""The program is a line of shell: fifty containers of anything larger would measure the engine."""


@pytest.mark.contract("4.2", "U", "fifty jobs created at once all end correctly, with their own exit codes and models")
@pytest.mark.parametrize("kind", ["docker", "bubblewrap", "plain"])
def test_fifty_jobs_at_once_end_each_with_its_own_exit_code(kind, tmp_path, request):
    if kind == "bubblewrap" and (reason := bubblewrap.why_not()):
        miss(reason)
    client = request.getfixturevalue("docker_client") if kind == "docker" else None
    if client is not None and not client.images.list(SLIM):
        miss(f"the engine has no image {SLIM!r}; `docker pull {SLIM}`")
    path = "/nonexistent" if kind == "plain" else None
    server = Server.start(tmp_path, path=path, runtime="docker" if client else "process")
    try:
        server.client("s3").create_bucket(Bucket=BUCKET)
        codes = {f"job-{number:02}": number % 7 for number in range(JOBS)}
        create_at_once(server, codes, in_docker=client is not None)

        ended = {name: server.describe(name) for name in codes if wait(server, name)}
        reasons = {name: described.get("FailureReason", "") for name, described in ended.items()}
        assert reasons == {name: f"AlgorithmError: , exit code: {code}" if code else "" for name, code in codes.items()}
        statuses = {name: described["TrainingJobStatus"] for name, described in ended.items()}
        assert statuses == {name: "Failed" if code else "Completed" for name, code in codes.items()}
        kept = server.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]
        assert sum(item["Key"].endswith("/output/model.tar.gz") for item in kept) == JOBS
        server.cleared(*codes)
        assert [name for name in codes if processes(server.root / "jobs" / name)] == []
        assert [path for path in (server.root / "jobs").iterdir() if (path / "scratch").exists()] == []
    finally:
        assert server.end() == 0
    assert "Traceback" not in server.log.read_text()


def create_at_once(server, codes, *, in_docker):
    barrier = threading.Barrier(JOBS)
    client = server.client("sagemaker")

    def create(name):
        shell = {"ContainerEntrypoint": ["/bin/sh", "-c", f"exit {codes[name]}"]}
        document = request(name, ["look"], algorithm=shell | ({"TrainingImage": SLIM} if in_docker else {}))
        barrier.wait(END_SECONDS)
        client.create_training_job(**document)

    with ThreadPoolExecutor(JOBS) as pool:
        assert list(pool.map(create, codes)) == [None] * JOBS


def wait(server, name):
    eventually(lambda: server.describe(name)["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"), END_SECONDS)
    return True
