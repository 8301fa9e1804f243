"""The jobs of a root folder while several clients act on them at once."""

import threading

import pytest

from local_mode.errors import LocalModeError
from local_mode.jobs import service as module
from local_mode.jobs.create import create
from local_mode.jobs.service import Service
from local_mode.jobs.task import Settings
from tests.contract.lab import Recorder, document, eventually
from tests.unit.local_mode.fake_runner import FakeRunner


@pytest.fixture
def runner():
    return FakeRunner()


@pytest.fixture
def service(tmp_path, runner):
    settings = Settings(shm_bytes=0, grace_seconds=30, region="eu-west-1")
    made = Service(root=tmp_path / "root", settings=settings, choose=lambda _: runner, listen=lambda _: Recorder())
    yield made
    eventually(lambda: not made.close(kill=True))


def asked(folder, **fields):
    return document("job", ["none"], folder, **fields)


def test_service_that_ends_waits_for_a_job_that_is_being_created(service, tmp_path, monkeypatch):
    begun, goes_on = threading.Event(), threading.Event()

    def slow(*arguments, **named):
        begun.set()
        assert goes_on.wait(20)
        return create(*arguments, **named)

    monkeypatch.setattr(module, "create", slow)
    client = threading.Thread(target=lambda: service.create(asked(tmp_path)))
    client.start()
    assert begun.wait(20)

    assert service.close() == ["job"]
    goes_on.set()
    client.join(20)
    eventually(lambda: not service.close())
    assert service.describe("job")["TrainingJobStatus"] == "Stopped"
    with pytest.raises(LocalModeError, match="starts no more jobs"):
        service.create(asked(tmp_path))


def test_job_that_takes_the_name_of_one_being_deleted_is_known(service, runner, tmp_path, monkeypatch):
    service.create(asked(tmp_path))
    eventually(lambda: runner.instances)
    runner.instances[0].end()
    eventually(lambda: service.find(module.Query(status="Completed")))
    held = module.root_lock

    class Then:
        """The lock, and at its release another client."""

        def __init__(self, root):
            self._lock = held(root)

        def __enter__(self):
            return self._lock.__enter__()

        def __exit__(self, *error):
            self._lock.__exit__(*error)
            service.create(asked(tmp_path))

    monkeypatch.setattr(
        service, "describe", lambda _: {"TrainingJobStatus": "Completed"}
    )  # keeps the ended job's handle
    monkeypatch.setattr(module, "root_lock", Then)
    service.delete("job")

    eventually(lambda: len(runner.instances) > 1)
    assert service.close() == ["job"]


def test_job_whose_container_is_still_removed_is_not_deleted_under_it(service, runner, tmp_path, monkeypatch):
    removed = threading.Event()
    service.create(asked(tmp_path))
    eventually(lambda: runner.instances)
    runner.instances[0].close = lambda: removed.wait(20)
    runner.instances[0].end()
    eventually(lambda: service.describe("job")["TrainingJobStatus"] == "Completed")
    monkeypatch.setattr(module, "_LAST_ACTS_SECONDS", 0.1)

    with pytest.raises(LocalModeError, match="its container is still being removed: try again"):
        service.delete("job")
    assert service.folder("job").scratch.exists()
    removed.set()
    monkeypatch.undo()
    service.delete("job")
    assert not service.find(module.Query())
