"""The runners that the contract suite runs over."""

import io
import json
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


def process_runner(why_plain, forks=None):
    entries = {
        image: StandIn(
            interpreter=Path(entry["interpreter"]),
            python_path=tuple(map(Path, entry["python_path"])),
            environment=entry["environment"],
            train=tuple(entry["train"]),
            preload=entry["preload"],
        )
        for image, entry in stand_ins().items()
    }
    caller = {"PIP_CERT": "/some/ca.pem", "SECRET": "no"}
    return ProcessRunner(stand_ins=entries, caller=caller, why_plain=why_plain, forks=forks)


@pytest.fixture(scope="module", params=["docker", "bubblewrap", "plain"])
def kind(request):
    if request.param == "bubblewrap" and (reason := bubblewrap.why_not()):
        miss(reason)
    if request.param == "docker":
        request.getfixturevalue("docker_runner")
    return request.param


@pytest.fixture
def lab(kind, tmp_path, request):
    return make_lab(kind, tmp_path, request)


@pytest.fixture(scope="module")
def shared_lab(kind, tmp_path_factory, request):
    """For jobs that several rows look at."""
    return make_lab(kind, tmp_path_factory.mktemp("shared"), request)


def make_lab(kind, folder, request):
    if kind == "docker":
        runner = request.getfixturevalue("docker_runner")
        return Lab(runner=runner, kind=kind, folder=folder, client=runner._client)
    return Lab(runner=process_runner("" if kind == "bubblewrap" else "the suite says so"), kind=kind, folder=folder)


@pytest.fixture
def source(tmp_path):
    """A folder with a channel's files: two objects whose order by bytes is not their order by names' case."""
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("alpha no newline")
    (folder / "b.txt").write_text("beta")
    (folder / "Z.txt").write_text("zeta\n")
    return folder


@pytest.fixture
def put(tmp_path):
    """Writes files into a folder of the test's; the folder, as a prefix."""

    def write(folder, files):
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return f"{tmp_path / folder}/"

    return write


@pytest.fixture
def manifest(tmp_path):
    """Writes a ManifestFile; its path."""

    def write(prefix, *suffixes):
        path = tmp_path / "list.manifest"
        path.write_text(json.dumps([{"prefix": prefix}, *suffixes]))
        return path

    return write


@pytest.fixture
def lines(tmp_path):
    """Writes an augmented manifest; its path."""

    def write(*texts):
        path = tmp_path / "lines.manifest"
        path.write_text("\n".join(texts) + "\n")
        return path

    return write
