"""The doctor on images of a real engine, each with one fault: what it says is what a job would have met."""

import io
import tarfile

import pytest

from local_mode.doctor import examination
from local_mode.doctor.findings import FAIL, OK, WARN
from local_mode.runners.docker import DockerRunner
from tests.containers import miss
from tests.contract.lab import IMAGE

pytestmark = pytest.mark.contract("command line", "U")
BASE = "debian:trixie-slim"
TRAIN = {"usr/local/bin/train": (0o755, b"#!/bin/sh\n")}


@pytest.fixture
def examined(docker_client):
    """Makes an image of a few files and changes on a bare Debian; what the doctor says of it."""
    if not docker_client.images.list(BASE):
        miss(f"the engine has no image {BASE!r}; .ci/docker_engine makes it")
    made = []

    def examine(files, *changes):
        name = f"{IMAGE}-doctor-{len(made)}"
        container = docker_client.containers.create(BASE, ["true"])
        try:
            container.put_archive("/", packed(files))
            repository, tag = name.split(":")
            container.commit(repository, tag, changes="\n".join(("ENV PATH=/usr/local/bin:/usr/bin:/bin", *changes)))
            made.append(name)
        finally:
            container.remove(force=True, v=True)
        return examination.of_image(name, inspect=DockerRunner(docker_client).inspect, reason="")

    yield examine
    for name in made:
        docker_client.images.remove(name, force=True)


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (mode, data) in files.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size = mode, len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_doctor_finds_nothing_to_mend_in_an_image_with_train(examined):
    findings = examined(TRAIN)

    assert {finding.level for finding in findings} == {OK}
    assert any(finding.seen == "train is /usr/local/bin/train" for finding in findings)


@pytest.mark.contract("command line", "U", "doctor finds a {what}")
@pytest.mark.parametrize(
    ("what", "files", "changes", "level", "seen"),
    [
        ("missing train", {}, [], FAIL, "no executable 'train' on PATH (/usr/local/bin:/usr/bin:/bin)"),
        ("train that is not executable", {"usr/local/bin/train": (0o644, b"")}, [], FAIL, "no executable 'train'"),
        ("train that is a folder", {"usr/local/bin/train/x": (0o755, b"")}, [], FAIL, "no executable 'train'"),
        ("shell-form ENTRYPOINT", TRAIN, ["ENTRYPOINT python3 /x.py"], FAIL, "ENTRYPOINT is in shell form"),
        ("missing ENTRYPOINT program", {}, ['ENTRYPOINT ["/none"]'], FAIL, "starts '/none', which the image does not"),
        ("tini before the program", {"tini": (0o755, b"")}, ['ENTRYPOINT ["/tini", "--"]'], WARN, "/tini is started"),
        ("USER other than root", TRAIN, ["USER nobody"], FAIL, "nobody"),
        ("file baked under /opt/ml", {**TRAIN, "opt/ml/code/a.py": (0o644, b"")}, [], FAIL, "ships /opt/ml/code/a.py"),
        ("WORKDIR under /opt/ml", TRAIN, ["WORKDIR /opt/ml/code"], WARN, "WORKDIR is /opt/ml/code"),
    ],
)
def test_doctor_finds_the_fault_of_a_real_image(examined, what, files, changes, level, seen):
    found = examined(files, *changes)
    assert [item for item in found if item.level == level and seen in item.seen], "\n".join(map(str, found))


def test_doctor_follows_links_to_train(examined, docker_client):
    buffer = io.BytesIO(packed({"opt/venv/bin/train": (0o755, b"")}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("usr/local/bin/train")
        link.type, link.linkname = tarfile.SYMTYPE, "/opt/venv/bin/train"
        archive.addfile(link)
    name = f"{IMAGE}-doctor-link"
    container = docker_client.containers.create(BASE, ["true"])
    try:
        container.put_archive("/", buffer.getvalue())
        repository, tag = name.split(":")
        container.commit(repository, tag, changes="ENV PATH=/usr/local/bin")
    finally:
        container.remove(force=True, v=True)
    try:
        findings = examination.of_image(name, inspect=DockerRunner(docker_client).inspect, reason="")
    finally:
        docker_client.images.remove(name, force=True)

    assert not examination.has_failed(findings), "\n".join(map(str, findings))
