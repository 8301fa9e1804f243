"""What a job has of its feeder: FIFOs from the start, and none when it is over, however the feeder ends."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainjob import contract

from local_mode.channels.feeding import Feeding
from local_mode.channels.plan import ChannelSpec, plan_channel
from local_mode.errors import FeederError
from tests.contract.lab import eventually

END_SECONDS = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "one").write_bytes(b"bytes of one")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


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


def test_a_feeder_that_never_was_one_leaves_a_reason_and_no_fifo(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    feeding = fed(folder)
    eventually(lambda: feeding.error is not None, END_SECONDS)
    assert str(feeding.error) == "The feeder ended with code 1: no output"
    feeding.stop()
    assert list(folder.iterdir()) == []


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


def test_a_feeder_that_cannot_be_started_leaves_no_fifo_and_no_plan(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    with pytest.raises(FileNotFoundError, match="/no/such/interpreter"):
        fed(folder)
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == ["data", "objects"]
