"""The runners that the contract suite runs over."""

import io
import tarfile
from pathlib import Path

import pytest

from local_mode.runners import bubblewrap
from local_mode.runners.docker import DockerRunner
from local_mode.runners.process import ProcessRunner
from local_mode.runners.stand_in import StandIn
from tests.containers import miss
from tests.contract.lab import IMAGE, PROGRAM, Lab, stand_ins

TRAIN = b'#!/bin/sh\nexec python3 /program/contract_job.py "$@"\n'


@pytest.fixture(scope="session")
def docker_runner(docker_client, pytorch_image):
    make_image(docker_client, pytorch_image)
    yield DockerRunner(docker_client)
    docker_client.images.remove(IMAGE, force=True)


def make_image(client, base):
    """The suite's program as `train` in an image of its own: a container of `base`, two files more, committed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in {
            "usr/local/bin/train": TRAIN,
            "program/contract_job.py": (PROGRAM / "contract_job.py").read_bytes(),
        }.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    container = client.containers.create(base, ["true"])
    try:
        container.put_archive("/", buffer.getvalue())
        path = "/usr/local/bin:/opt/venv/bin:/usr/bin:/bin"
        repository, tag = IMAGE.split(":")
        changes = [f"ENV PATH={path}", "ENV FROM_IMAGE=yes", "USER root", "WORKDIR /"]
        container.commit(repository, tag, changes="\n".join(changes))
    finally:
        container.remove(force=True, v=True)


def process_runner(why_plain):
    entries = {
        image: StandIn(
            interpreter=Path(entry["interpreter"]),
            python_path=tuple(map(Path, entry["python_path"])),
            environment=entry["environment"],
            train=tuple(entry["train"]),
        )
        for image, entry in stand_ins().items()
    }
    return ProcessRunner(stand_ins=entries, caller={"PIP_CERT": "/some/ca.pem", "SECRET": "no"}, why_plain=why_plain)


@pytest.fixture(params=["docker", "bubblewrap", "plain"])
def kind(request):
    if request.param == "bubblewrap" and (reason := bubblewrap.why_not()):
        miss(reason)
    if request.param == "docker":
        request.getfixturevalue("docker_runner")
    return request.param


@pytest.fixture
def lab(kind, tmp_path, request):
    if kind == "docker":
        runner = request.getfixturevalue("docker_runner")
        return Lab(runner=runner, kind=kind, folder=tmp_path, client=runner._client)
    return Lab(runner=process_runner("" if kind == "bubblewrap" else "the suite says so"), kind=kind, folder=tmp_path)


@pytest.fixture
def source(tmp_path):
    """A folder with a channel's files: two objects whose order by bytes is not their order by names' case."""
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("alpha no newline")
    (folder / "b.txt").write_text("beta")
    (folder / "Z.txt").write_text("zeta\n")
    return folder
