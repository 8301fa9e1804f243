"""The image under a hand-made /opt/ml, with nothing of local_mode around it."""

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from trainjob import cifar10
from trainjob.contract import FILE, Paths

if TYPE_CHECKING:
    from docker.models.containers import Container

START_SECONDS = 300
STOP_SECONDS = 90
PATHS = Paths()


def folder(files: dict[str, bytes]) -> bytes:
    """A tar of files below /opt/ml."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def opt_ml(**hyperparameters: str) -> bytes:
    """Config files and two File-mode channels of random records, as the platform lays them out."""
    records = np.random.default_rng(0).integers(0, 256, (500, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] %= 10
    config = {
        PATHS.hyperparameters: hyperparameters,
        PATHS.input_data_config: {name: {"TrainingInputMode": FILE} for name in ("train", "validation")},
        PATHS.resource_config: {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    }
    files = {str(path.relative_to(PATHS.base)): json.dumps(content).encode() for path, content in config.items()}
    for name in ("train", "validation"):
        files[str((PATHS.channel(name) / "part-000.bin").relative_to(PATHS.base))] = records.tobytes()
    return folder(files)


ARTIFACTS = {
    "pytorch": (
        {"weights.pt", "labels.json", "config.json"},
        {"history.csv", "learning-curve.png", "confusion-matrix.png"},
    ),
    "keras": (
        {"model.keras", "labels.json", "config.json", "saved_model.pb", "fingerprint.pb"}
        | {"variables.index", "variables.data-00000-of-00001"},
        {"history.csv", "learning-curve.png", "confusion-matrix.png"},
    ),
}
"""By framework, the names of files in the model and in the output folder."""


@pytest.fixture(params=ARTIFACTS)
def framework(request: pytest.FixtureRequest) -> str:
    """Each image."""
    return str(request.param)


@pytest.fixture
def image(framework: str, request: pytest.FixtureRequest) -> str:
    """Its name in the engine."""
    return str(request.getfixturevalue(f"{framework}_image"))


@pytest.fixture
def start(docker_client: Any, image: str) -> "Iterator[Callable[[bytes], Container]]":
    """Starts the image with `train` over a given /opt/ml; every container is removed."""
    made: list[Container] = []

    def run(content: bytes) -> "Container":
        container = docker_client.containers.create(
            image, ["train"], volumes=[str(PATHS.base)], hostname="algo-1", network_mode="none"
        )
        made.append(container)
        container.put_archive(str(PATHS.base), content)
        container.start()
        return container

    yield run
    for container in made:
        container.remove(force=True, v=True)


def names_in(container: "Container", path: str) -> set[str]:
    chunks, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {PurePosixPath(entry.name).name for entry in archive if entry.isfile()}


def wait_for(container: "Container", text: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while text not in (said := container.logs().decode()):
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


def test_image_trains_under_a_hand_made_opt_ml(framework: str, start: "Callable[[bytes], Container]"):
    container = start(opt_ml(epochs="1"))

    assert container.wait(timeout=START_SECONDS)["StatusCode"] == 0, container.logs().decode()
    model, output = ARTIFACTS[framework]
    assert names_in(container, str(PATHS.model)) == model
    assert names_in(container, str(PATHS.output_data)) == output


def test_sigterm_leaves_a_checkpoint_that_a_new_container_goes_on_from(start: "Callable[[bytes], Container]"):
    container = start(opt_ml(epochs="1000"))
    wait_for(container, "epoch=2 ")
    asked = time.monotonic()
    container.stop(timeout=STOP_SECONDS)

    assert time.monotonic() - asked < STOP_SECONDS
    assert container.wait(timeout=5)["StatusCode"] == 0, container.logs().decode()
    chunks, _ = container.get_archive(str(PATHS.checkpoints))
    following = start(opt_ml(epochs="1000"))
    following.stop(timeout=STOP_SECONDS)
    following.put_archive(str(PATHS.base), b"".join(chunks))
    following.start()
    wait_for(following, "resumed after epoch")


def test_failure_file_opens_with_the_cause(start: "Callable[[bytes], Container]"):
    container = start(opt_ml(epochz="1"))

    assert container.wait(timeout=START_SECONDS)["StatusCode"] == 1
    chunks, _ = container.get_archive(str(PATHS.failure))
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        text = archive.extractfile(archive.getmembers()[0]).read().decode()  # type: ignore[union-attr]
    assert "'epochz'" in text.splitlines()[0]
    assert "epochs" in text
