"""Fixtures of the tests of pushes: a registry that may misbehave, an engine at the SDK's seam, and what was said."""

from functools import partial

import pytest

from scripts.publishing.engine import Engine
from scripts.publishing.progress import Lines
from scripts.publishing.push import push
from scripts.publishing.retry import Patience
from scripts.publishing.target import Credentials, Target
from tests.fake_docker import NAME, FakeDocker
from tests.faulty_registry import FaultyRegistry


class Bench:
    """Pushes one image to one registry."""

    def __init__(self, registry):
        self.registry, self.docker, self.said, self.waits = registry, FakeDocker(), [], []

    @property
    def engine(self):
        return Engine(self.docker)

    def target(self, user=""):
        name, _, password = user.partition(":")
        credentials = Credentials(user=name, password=password) if user else None
        return Target(registry=self.registry.host, repository=NAME, credentials=credentials)

    def push(self, user="", attempts=3):
        image = self.engine.find(f"{NAME}:dev", how="make build/pytorch")
        patience = Patience(say=self.said.append, attempts=attempts, sleep=self.waits.append)
        lines = partial(Lines, self.said.append)
        return push(
            image, self.target(user), engine=self.engine, patience=patience, progress=lines, say=self.said.append
        )


@pytest.fixture
def registry():
    made = FaultyRegistry()
    with made.served():
        yield made


@pytest.fixture
def bench(registry):
    return Bench(registry)
