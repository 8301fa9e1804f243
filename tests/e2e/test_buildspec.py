"""The real buildspec.yml, run phase by phase: it ends with both images in a registry on this machine.

Its lint, tests and audit are what this test is itself a part of, or need a service elsewhere: `make` is told so by a
stand-in that hands every other goal to the real one.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from scripts.images.entry import ROOT, read_images
from tests.buildspec import Buildspec, execute, in_shell
from tests.containers import miss

ELSEWHERE = ("lint", "audit", "test", "test/image", "testing", "pytest")
"""Goals that are taken for done."""
UP_SECONDS = 30
ACCEPTED = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry, on a port of its own."""
    program = shutil.which("docker-registry")
    if program is None:
        miss("docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "registry.yml").write_text(CONFIG.format(folder=tmp_path, port=port))
    process = subprocess.Popen([program, "serve", str(tmp_path / "registry.yml")])
    try:
        deadline = time.monotonic() + UP_SECONDS
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(UP_SECONDS)
        shutil.rmtree(tmp_path / "blobs", ignore_errors=True)  # gigabytes, of which pytest would keep three runs


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def make(tmp_path: Path) -> Path:
    """A folder for PATH with a `make` that takes some goals for done."""
    folder = tmp_path / "bin"
    folder.mkdir()
    done = "|".join(ELSEWHERE)
    (folder / "make").write_text(
        f'#!/bin/sh\ncase "$1" in {done}) echo "taken for done: $*"; exit 0;; esac\nexec {shutil.which("make")} "$@"\n'
    )
    (folder / "make").chmod(0o755)
    return folder


def get(registry: str, path: str) -> tuple[bytes, str]:
    request = urllib.request.Request(f"http://{registry}/v2/{path}", headers={"Accept": ACCEPTED})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read(), answer.headers.get("Docker-Content-Digest", "")


@pytest.mark.timeout(3_600)
@pytest.mark.soak  # to compress and send both images takes ten minutes and 20 GB of disk
def test_buildspec_ends_with_both_images_in_the_registry(
    docker_client: docker.DockerClient, pytorch_image: str, keras_image: str, registry: str, make: Path, tmp_path: Path
):
    spec = Buildspec.read((ROOT / "buildspec.yml").read_text())
    environment = {
        "REGISTRY": registry,
        "REPORTS": str(tmp_path / "reports"),
        "DIST": str(tmp_path / "dist"),
        "PATH": f"{make}:{os.environ['PATH']}",
    }
    built = [command for phase in spec.phases.values() for command in phase["commands"]]

    build = execute(spec, in_shell(ROOT, tmp_path / "log"), environment)

    assert build.succeeded, (tmp_path / "log").read_text()[-5_000:]
    assert [command for _, command, _ in build.ran] == built
    for framework, image in read_images().items():
        (tag,) = json.loads(get(registry, f"{image.repository}/tags/list")[0])["tags"]
        manifest, digest = get(registry, f"{image.repository}/manifests/{tag}")
        assert json.loads(manifest)["config"]["digest"] == docker_client.images.get(image.name()).id
        assert digest in (tmp_path / "dist" / "pushed" / f"{framework}.json").read_text()
        written = {path.name for path in (tmp_path / "reports" / "junit").iterdir()}
        assert written >= {f"size-{framework}.xml", f"contents-{framework}.xml"}
        assert (tmp_path / "reports" / f"{framework}.cdx.json").is_file()
