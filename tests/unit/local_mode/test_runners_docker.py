"""A container while its engine does not answer: calls that fail for a while, then work."""

from pathlib import Path
from types import SimpleNamespace

import docker.errors
import pytest
import requests

from local_mode.errors import RunnerError
from local_mode.runners import docker_restart
from local_mode.runners.docker import _Container


class Restarting:
    """A container of an engine that fails `times` calls of each kind."""

    status = "exited"

    def __init__(self, times, *, gone=False):
        self.left = dict.fromkeys(("wait", "kill", "reload", "archive"), times)
        self.gone = gone
        self.signals = []

    def _call(self, kind):
        if self.left[kind]:
            self.left[kind] -= 1
            raise requests.exceptions.ConnectionError("no engine")
        if self.gone:
            raise docker.errors.NotFound("no such container")

    def wait(self, timeout):
        self._call("wait")
        return {"StatusCode": 5}

    def kill(self, signal):
        self._call("kill")
        self.signals.append(signal)

    def reload(self):
        self._call("reload")

    def get_archive(self, path):
        self._call("archive")


def container(fake):
    return _Container(None, fake, SimpleNamespace(checkpoints=None, opt_ml=Path()))


def test_end_of_a_container_is_known_after_the_engine_restarted():
    instance = container(Restarting(3))
    instance._await_end()

    assert instance.wait(0) == 5


def test_container_that_is_gone_after_the_restart_counts_as_killed():
    instance = container(Restarting(2, gone=True))
    instance._await_end()

    assert instance.wait(0) == 137
    with pytest.raises(RunnerError, match="The container was removed from outside"):
        instance.collect()


def test_signal_reaches_a_container_whose_engine_restarts():
    fake = Restarting(3)
    container(fake).terminate()

    assert fake.signals == ["SIGTERM"]


def test_engine_that_stays_away_is_an_error_after_a_while(monkeypatch):
    monkeypatch.setattr(docker_restart, "_RESTART_SECONDS", 0.2)
    with pytest.raises(requests.exceptions.ConnectionError):
        container(Restarting(10**6)).terminate()


def test_container_that_somebody_else_removes_is_waited_for():
    looks = []

    def busy(**_):
        raise docker.errors.APIError("busy", response=SimpleNamespace(status_code=409, reason="", url=""))

    def look():
        looks.append(1)
        if len(looks) > 2:
            raise docker.errors.NotFound("gone")

    docker_restart.remove(SimpleNamespace(remove=busy, reload=look))
    assert len(looks) == 3
