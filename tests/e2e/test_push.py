"""Both images as they ship: pushed as a person pushes them, and run by digest in an engine that never saw them."""

import contextlib
import os
import shutil
import subprocess
import sys

import docker
import pytest

from scripts.images.entry import read_image
from tests.containers import miss, pull_elsewhere
from tests.e2e.conftest import ROOT

PUSH_SECONDS = 1800
"""To compress and send 8 GB on a machine with two cores takes a third of it."""
FREE_BYTES = 20_000_000_000
"""For a registry's copy of an image, another engine's, and what that downloads on the way."""
RUN_SECONDS = 180
RUNS = {
    "pytorch": "import torch; print(float(torch.ones(2, 2).sum()))",
    "keras": "import keras; print(float(keras.ops.sum(keras.ops.ones((2, 2)))))",
}


def push(registry, framework, folder, docker_config):
    command = [
        sys.executable,
        ROOT / "scripts/push_image.py",
        framework,
        "--registry",
        registry.host,
        "--output",
        folder,
    ]
    environment = os.environ | {"DOCKER_CONFIG": str(docker_config)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PUSH_SECONDS, check=False, cwd=folder.parent
    )


@pytest.mark.soak
@pytest.mark.parametrize("framework", RUNS)
def test_image_is_pushed_and_runs_by_its_digest_in_an_engine_that_never_saw_it(
    framework, request, docker_client, registry, other_engine, tmp_path
):
    if (free := shutil.disk_usage(tmp_path).free) < FREE_BYTES:
        miss(f"{tmp_path} has {free / 1e9:.0f} GB free, of {FREE_BYTES / 1e9:.0f} GB that a push and a pull may take")
    image = docker_client.images.get(request.getfixturevalue(f"{framework}_image"))
    repository = f"{registry.host}/{read_image(framework).repository}"

    try:
        pushed = push(registry, framework, tmp_path / "pushed", tmp_path / "docker")
        assert pushed.returncode == 0, pushed.stderr[-3000:]
        uri = pushed.stdout.strip()
        assert docker_client.images.get(uri).id == image.id
        again = push(registry, framework, tmp_path / "pushed", tmp_path / "docker")
        assert (again.returncode, again.stdout) == (0, pushed.stdout), again.stderr[-3000:]
        assert "nothing to push" in again.stderr
    finally:
        known = docker_client.images.get(image.id).tags
        for name in (name for name in known if name.startswith(f"{repository}:")):
            with contextlib.suppress(docker.errors.ImageNotFound):
                docker_client.images.remove(name, noprune=True)

    with contextlib.closing(pull_elsewhere(uri, registry, other_engine)) as client:
        assert client.images.get(uri).id == image.id
        container = client.containers.create(uri, ["python", "-c", RUNS[framework]], network_mode="none")
        container.start()
        code = container.wait(timeout=RUN_SECONDS)["StatusCode"]
        assert (code, container.logs(stderr=False).decode().strip()) == (0, "4.0")
        container.remove()
