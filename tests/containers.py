"""Fixtures for tests that need a Docker Engine or an image; a pytest plugin, registered in tests/conftest.py."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    import docker  # not at run time: this plugin is loaded in interpreters without the SDK, too

    from tests.contract.private_engine import PrivateEngine

from scripts.images.engine import check_engine
from scripts.images.entry import ImageError, image_name
from tests import registry as debian

REQUIRE = "REQUIRE_CONTAINERS"
"""Environment variable: where it is 1, as in CI, a missing engine or image is a failure and not a skip."""
ENGINE_SECONDS = 60
"""Bounds every single call to the engine."""
RUN_SECONDS = 120.0
"""Bounds a container, unless its test says otherwise; the first import of torch from a cold disk takes half of it."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended."""

    exit_code: int
    output: str


PULL_SECONDS = 600
"""Bounds a pull that does not say how far it is."""
RunContainer = Callable[..., Ended]


def miss(reason: str) -> NoReturn:
    """Skips the test, or fails it where containers are required."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker_client() -> "Iterator[docker.DockerClient]":
    """A client whose engine has answered."""
    import docker  # noqa: PLC0415 - see above

    try:
        check_engine()  # not the SDK, which leaves its socket open when nothing answers
    except ImageError as error:
        miss(str(error))
    client = docker.from_env(timeout=ENGINE_SECONDS)
    yield client
    client.close()


@pytest.fixture(scope="session")
def pytorch_image(docker_client: "docker.DockerClient") -> str:
    """The name of the PyTorch image, which is in the engine."""
    return _built("pytorch", docker_client)


@pytest.fixture(scope="session")
def keras_image(docker_client: "docker.DockerClient") -> str:
    """The name of the Keras image, which is in the engine."""
    return _built("keras", docker_client)


def _built(framework: str, client: "docker.DockerClient") -> str:
    name = image_name(framework)
    if not client.images.list(name):
        miss(f"the engine has no image '{name}'; run 'make build/{framework}'")
    return name


@pytest.fixture
def run_container(docker_client: "docker.DockerClient") -> RunContainer:
    """Runs a command in an image to its end, within a time, and leaves no container behind."""

    def run(image: str, command: list[str], *, seconds: float = RUN_SECONDS, **settings: Any) -> Ended:
        settings.setdefault("network_mode", "none")
        container = docker_client.containers.create(image, command, **settings)
        try:
            container.start()
            exit_code = container.wait(timeout=seconds)["StatusCode"]
            return Ended(exit_code=exit_code, output=container.logs().decode(errors="replace"))
        finally:
            container.remove(force=True, v=True)

    return run


@pytest.fixture
def registry(tmp_path: Path) -> "Iterator[debian.Registry]":
    """Debian's docker-registry, which is up and has nothing."""
    if why := debian.why_not():
        miss(why)
    made = debian.Registry(tmp_path / "registry")
    made.start()
    yield made
    made.end()
    shutil.rmtree(made.folder)  # gigabytes, maybe, and pytest keeps the folders of three runs


@pytest.fixture
def other_engine(tmp_path: Path) -> "Iterator[PrivateEngine]":
    """An engine that has no image, and no network but loopback."""
    from tests.contract import private_engine  # noqa: PLC0415 - see above

    if why := private_engine.why_not():
        miss(why)
    engine = private_engine.PrivateEngine(tmp_path / "engine", live_restore=False)
    engine.start()
    yield engine
    engine.close()


def pull_elsewhere(uri: str, registry: "debian.Registry", engine: "PrivateEngine") -> "docker.DockerClient":
    """A client of an engine that has pulled an image; the registry serves in that engine's network from now on."""
    import docker  # noqa: PLC0415 - see above

    registry.end()
    registry.start(engine.enter())  # the same folder and address
    client = docker.DockerClient(base_url=engine.address, timeout=PULL_SECONDS)
    assert client.images.list(all=True) == []
    client.images.pull(uri)
    return client
