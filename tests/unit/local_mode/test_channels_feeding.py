"""What a job has of its feeder: FIFOs from the start, and none when it is over, however the feeder ends."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainjob import contract

from local_mode.channels import feeding as feeding_module
from local_mode.channels.feeders import Feeders
from local_mode.channels.feeding import Feeding
from local_mode.channels.plan import ChannelSpec, plan_channel
from local_mode.errors import FeederError
from tests.contract.lab import eventually

END_SECONDS = 30
pytestmark = pytest.mark.timeout(60)


def prepared(job: Path) -> Path:
    (job / "objects").mkdir(parents=True)
    (job / "objects" / "one").write_bytes(b"bytes of one")
    (job / "data").mkdir()
    return job / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepared(tmp_path)


@pytest.fixture
def others_are_shut_out() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def fed(folder: Path, *channels: str) -> Feeding:
    uri = (folder.parent / "objects").as_uri()
    specs = [ChannelSpec(name=name, uri=uri, mode=contract.PIPE) for name in channels or ("train",)]
    return Feeding(map(plan_channel, specs), folder=folder, marker={}, progress=lambda *news: None)


@pytest.mark.usefixtures("others_are_shut_out")
def test_a_program_may_start_at_once_whoever_it_is_and_reads_all_epochs(folder: Path):
    feeding = fed(folder)
    try:
        mode = (folder / "train_0").stat().st_mode  # no wait: the feeder is not even an interpreter yet
        assert stat.S_ISFIFO(mode)
        assert oct(mode & 0o777) == "0o666"
        for epoch in range(3):
            assert (folder / f"train_{epoch}").read_bytes() == b"bytes of one"
    finally:
        feeding.stop()
    assert list(folder.iterdir()) == []
    assert feeding.error is None


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1, 0.2])
def test_a_program_that_is_done_before_its_feeder_is_there_has_not_failed(folder: Path, seconds: float):
    feeding = fed(folder)
    time.sleep(seconds)
    feeding.stop()
    assert feeding.error is None
    assert list(folder.iterdir()) == []


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feeders]:
    """Feeders of which none was started."""
    made = Feeders(options=["-S"])
    monkeypatch.setattr(feeding_module, "_WITHOUT_S3", made)
    yield made
    made.close()


@pytest.mark.usefixtures("fresh")
def test_a_feeder_that_never_was_one_leaves_a_reason_and_no_fifo(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    try:
        feeding = fed(folder)
    except FeederError as error:  # it had ended before it could be told
        found = str(error)
    else:
        eventually(lambda: feeding.error is not None, END_SECONDS)
        found = str(feeding.error)
        feeding.stop()
    assert found == "The feeder cannot be started: its process ended with code 1: no output."
    assert list(folder.iterdir()) == []


def test_what_a_feeder_lacks_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    lacking = Feeders(options=["-S"], modules=["no_such_module"])
    monkeypatch.setattr(feeding_module, "_WITHOUT_S3", lacking)
    feeding = fed(folder)
    eventually(lambda: feeding.error is not None, END_SECONDS)
    assert str(feeding.error).endswith("code 1: ModuleNotFoundError: No module named 'no_such_module'.")
    feeding.stop()
    lacking.close()
    assert list(folder.iterdir()) == []


def test_feeders_are_forked_from_one_process_and_end_with_it(tmp_path: Path, fresh: Feeders):
    folders = [prepared(tmp_path / name) for name in ("one", "two")]
    jobs = [fed(folder) for folder in folders]
    for feeding, folder in zip(jobs, folders, strict=True):
        assert (folder / "train_0").read_bytes() == b"bytes of one"
        assert feeding.error is None
    server, _ = fresh._running
    server.kill()
    for feeding, folder in zip(jobs, folders, strict=True):
        eventually(lambda feeding=feeding: feeding.error is not None, END_SECONDS)
        assert str(feeding.error) == "The feeder ended with code -9: no output"
        eventually(lambda folder=folder: not list(folder.iterdir()), END_SECONDS)  # it has removed its own
        feeding.stop()

    another = fed(folders[0])
    assert (folders[0] / "train_0").read_bytes() == b"bytes of one"
    assert fresh._running[0].pid != server.pid
    another.stop()
    assert another.error is None


def test_what_feeders_are_forked_from_has_no_job_s_key_or_mark(folder: Path, fresh: Feeders):
    uri = (folder.parent / "objects").as_uri()
    plans = [plan_channel(ChannelSpec(name="train", uri=uri, mode=contract.PIPE))]
    feeding = Feeding(plans, folder=folder, marker={"MARK": "of a job"}, progress=lambda *news: None)
    assert (folder / "train_0").read_bytes() == b"bytes of one"
    server = fresh._running[0].pid
    (child,) = map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())
    environments = [Path("/proc", str(number), "environ").read_bytes() for number in (server, child)]
    feeding.stop()
    assert b"PYTHONPATH=" in environments[0]
    assert b"MARK" not in environments[0]
    assert b"MARK=of a job" in environments[1].split(b"\0"), "by it, others find what a job has left"


def test_what_lies_in_a_fifo_s_place_is_not_written_over(folder: Path):
    (folder / "train_0").write_bytes(b"mine")
    with pytest.raises(FeederError, match="Cannot make the FIFO .*train_0: File exists"):
        fed(folder)
    assert (folder / "train_0").read_bytes() == b"mine"


def test_a_fifo_that_cannot_be_made_leaves_none_of_the_others(folder: Path):
    (folder / "validation_0").write_bytes(b"mine")
    with pytest.raises(FeederError, match="validation_0: File exists"):
        fed(folder, "train", "validation")
    assert [path.name for path in folder.iterdir()] == ["validation_0"]


@pytest.mark.usefixtures("fresh")
def test_a_feeder_that_cannot_be_started_leaves_no_fifo_and_no_plan(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    with pytest.raises(FeederError, match="The feeder cannot be started: No such file or directory"):
        fed(folder)
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == ["data", "objects"]
