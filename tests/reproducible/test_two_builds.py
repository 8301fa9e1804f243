"""Two builds of one commit, each from nothing: `make test/reproducible FRAMEWORK=keras`. Half an hour on two cores."""

import os
import subprocess
import sys
from collections.abc import Iterator

import docker
import pytest

from scripts.compare_images import compare
from scripts.images import engine
from scripts.images.entry import ROOT, read_image

TAGS = ("reproducible-1", "reproducible-2")
BUILD_SECONDS = 2_400


@pytest.fixture(scope="module")
def twice(docker_client: docker.DockerClient) -> Iterator[list[str]]:
    """The same image, built twice."""
    image = read_image(os.environ.get("FRAMEWORK") or "pytorch")
    options = ["--pip-conf", os.environ.get("PIP_CONF", ""), "--ca-bundle", os.environ.get("CA_BUNDLE", "")]
    try:
        for tag in TAGS:
            command = [sys.executable, "scripts/build_image.py", image.framework, "--fresh", "--tag", tag, *options]
            subprocess.run(command, cwd=ROOT, check=True, timeout=BUILD_SECONDS)
        yield [image.name(tag) for tag in TAGS]
    finally:
        for tag in TAGS:
            if engine.inspect(image.name(tag)):
                docker_client.images.remove(image.name(tag))


def test_two_builds_of_one_commit_have_the_same_files(twice: list[str]):
    files, differences = compare(*twice)

    assert files > 10_000
    assert not differences, "\n".join(differences)


def test_two_builds_are_the_same_image_where_the_builder_can_do_that(twice: list[str]):
    if not engine.rewrites_times():
        pytest.skip("this builder's BuildKit is older than 0.13, or keeps layers unpacked: it cannot set files' times")

    one, other = (engine.built(name, "") for name in twice)
    assert one["Id"] == other["Id"]
