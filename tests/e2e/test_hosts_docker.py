"""Jobs of two hosts in the images: two containers on a network of their own, streams, both frameworks and data sets."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_mode.runners.docker_network import JOB_LABEL, network_name
from tests.e2e.conftest import RunJob, command, read_job

if TYPE_CHECKING:
    import docker

FRAMEWORKS = ("pytorch", "keras")
READY_SECONDS = 500
"""Of a busy machine, to the first host's first epoch."""
HYPERPARAMETERS = {"cifar10": "batch_size=64", "cub200": "image_size=32 batch_size=16"}


def nothing_is_left(folder: Path, client: "docker.DockerClient") -> None:
    mine = {"label": f"{JOB_LABEL}={folder}"}
    assert client.containers.list(all=True, filters=mine) == []
    assert client.networks.list(names=[network_name(folder)]) == []
    assert client.volumes.list(filters=mine) == []
    assert not (folder / "scratch").exists()


@pytest.mark.soak  # minutes on a slow machine
@pytest.mark.parametrize("dataset", ["cifar10", "cub200"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_containers_train_one_model_on_shares_of_a_stream(
    request: pytest.FixtureRequest, run_job: RunJob, docker_client: "docker.DockerClient", framework: str, dataset: str
):
    request.getfixturevalue(f"{framework}_image")
    data = ("--data", str(request.getfixturevalue("few_birds"))) if dataset == "cub200" else ()
    what = ("--framework", framework, "--dataset", dataset, "--hyperparameters", HYPERPARAMETERS[dataset])
    job = run_job(*what, *data, "--hosts", "2", "--epochs", "1", "--runtime", "docker")

    assert job.exit_code == 0, job.err
    sums = re.findall(r"rank (\d) of 2: weights sha256 (\w{64}), the same on all", job.out + job.err)
    assert sorted(rank for rank, _ in sums) == ["0", "1"]
    assert len({checksum for _, checksum in sums}) == 1
    assert len([line for line in job.out.splitlines() if "validation:accuracy=" in line]) == 1, "the first host's alone"
    for host in ("algo-1", "algo-2"):
        assert f"{host} train " in job.err, "each has a stream of its own"
    nothing_is_left(job.folder, docker_client)


@contextlib.contextmanager
def training(framework: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[], tuple[str, str]]]]:
    """A job that has trained an epoch, and what waits for its end."""
    arguments = ("--framework", framework, "--hosts", "2", "--epochs", "500", "--runtime", "docker")
    started = command("scripts/local_train.py", folder, *arguments)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(started, start_new_session=True, **pipes) as process:
        late = threading.Timer(READY_SECONDS, lambda: os.killpg(process.pid, signal.SIGTERM))
        late.start()
        try:
            seen = ""
            for line in process.stdout or ():
                seen += line
                if "validation:accuracy" in line:
                    break
            late.cancel()
            yield process, lambda: process.communicate(timeout=180)
        finally:
            late.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)


def container_of(host: str, folder: Path, client: "docker.DockerClient") -> Any:
    """The container that a host of a job is."""
    name = network_name(folder)
    for container in client.containers.list(filters={"label": f"{JOB_LABEL}={folder}"}):
        if host in container.attrs["NetworkSettings"]["Networks"][name]["Aliases"]:
            return container
    raise AssertionError(f"no container of {host} in {folder}")


@pytest.mark.drill
@pytest.mark.parametrize("victim", [pytest.param("algo-1", marks=pytest.mark.soak), "algo-2"])
def test_killed_container_of_one_host_fails_the_job_within_a_minute_and_names_the_host(
    pytorch_image: str, docker_client: "docker.DockerClient", tmp_path: Path, victim: str
):
    with training("pytorch", tmp_path) as (process, end):
        (folder,) = (tmp_path / "jobs").iterdir()
        assert len(docker_client.networks.list(names=[network_name(folder)])) == 1
        container_of(victim, folder, docker_client).kill()
        killed = time.monotonic()
        out, err = end()
        seconds = time.monotonic() - killed

    job = read_job(tmp_path, process.returncode, out, err)
    assert (job.exit_code, job.record["TrainingJobStatus"]) == (1, "Failed"), err
    assert seconds < 60
    assert victim in job.record["FailureReason"]
    nothing_is_left(job.folder, docker_client)
