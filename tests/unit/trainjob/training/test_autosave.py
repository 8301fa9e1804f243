import errno
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from trainjob.errors import CheckpointError
from trainjob.stop import Stop
from trainjob.training import autosave, checkpoint
from trainjob.training.autosave import Autosave

SECONDS = 30


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """Content whose writing waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, file) -> None:
        self.begun.set()
        assert self.go_on.wait(SECONDS)
        file.write(b"slow")


def text(file) -> None:
    file.write(b"text")


def full_disk(file) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def steps(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("checkpoint-")) for path in folder.glob("*.json"))


def test_nothing_is_due_where_nothing_was_asked_for(tmp_path):
    clock = Clock()
    saver = Autosave(tmp_path, Stop(), clock=clock)
    clock.now += 1e6
    assert not any(saver.due(step) for step in range(1000))


def test_checkpoint_is_due_at_multiples_of_the_steps_and_behind_one_that_was_stepped_over(tmp_path):
    saver = Autosave(tmp_path, Stop(), steps=4, step=6)
    assert [step for step in range(6, 9) if saver.due(step)] == [8]
    saver.save(9, text)
    saver.finish()
    assert [step for step in range(10, 18) if saver.due(step)] == [12, 13, 14, 15, 16, 17]


def test_checkpoint_is_due_so_many_seconds_after_the_one_before_whatever_that_was_taken_for(tmp_path):
    clock = Clock()
    saver = Autosave(tmp_path, Stop(), seconds=10, clock=clock)
    clock.now += 9.9
    assert not saver.due(1)
    clock.now += 0.1
    assert saver.due(1)
    saver.save(1, text)
    saver.finish()
    clock.now += 9.9
    assert not saver.due(2)
    clock.now += 0.1
    assert saver.due(2)


def test_training_goes_on_while_a_checkpoint_is_written_and_another_is_not_due_meanwhile(tmp_path):
    slow, saver = Slow(), Autosave(tmp_path, Stop(), steps=1)
    saver.save(1, slow)  # returns, though nothing is written before `go_on`
    assert slow.begun.wait(SECONDS)
    assert not saver.due(2)
    assert checkpoint.newest(tmp_path / "other") is None
    assert steps(tmp_path) == []
    slow.go_on.set()
    saver.finish()
    assert saver.due(2)
    assert steps(tmp_path) == [1]


def test_one_that_cannot_be_put_off_waits_for_the_one_before(tmp_path):
    slow, saver = Slow(), Autosave(tmp_path, Stop())
    order = []
    saver.save(1, slow)
    assert slow.begun.wait(SECONDS)

    def save_next() -> None:
        saver.save(2, lambda file: order.append(steps(tmp_path)))
        saver.finish()

    waiting = threading.Thread(target=save_next)
    waiting.start()
    slow.go_on.set()
    waiting.join(SECONDS)
    assert order == [[1]]
    assert steps(tmp_path) == [1, 2]


def test_newest_are_kept_with_their_progress(tmp_path):
    saver = Autosave(tmp_path, Stop(), keep=3, suffix=".pt")
    for step in range(1, 7):
        saver.save(step, text, epoch=step // 2)
    saver.finish()
    assert steps(tmp_path) == [4, 5, 6]
    assert checkpoint.newest(tmp_path).progress == {"epoch": 3}


def test_failed_write_is_due_at_the_next_step_and_raised_there(tmp_path):
    saver = Autosave(tmp_path, Stop())
    saver.save(3, full_disk)
    saver._thread.join(SECONDS)
    assert saver.due(4)
    with pytest.raises(CheckpointError, match=r"step 3 could not be written .* raise VolumeSizeInGB"):
        saver.save(4, text)


def test_failed_write_is_raised_at_the_end_and_only_once(tmp_path):
    saver = Autosave(tmp_path, Stop())
    saver.save(3, full_disk)
    with pytest.raises(CheckpointError, match="step 3 could not be written"):
        saver.finish()
    saver.finish()


def test_error_that_is_no_disk_s_is_raised_as_it_is(tmp_path):
    saver = Autosave(tmp_path, Stop())
    saver.save(3, lambda file: {}["absent"])
    with pytest.raises(KeyError, match="absent"):
        saver.finish()


def test_wait_ends_with_the_time_that_a_stop_leaves(tmp_path):
    slow, stop = Slow(), Stop(seconds=0.5)
    saver = Autosave(tmp_path, stop)
    saver.save(7, slow)
    stop.request()
    with pytest.raises(CheckpointError, match=r"step 7 is not written after \d+ s .* check the folder's disk"):
        saver.finish()
    slow.go_on.set()
    saver._thread.join(SECONDS)


def test_wait_ends_when_a_write_takes_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(autosave, "WRITE_SECONDS", 0.3)
    slow, saver = Slow(), Autosave(tmp_path, Stop())
    saver.save(7, slow)
    with pytest.raises(CheckpointError, match="step 7 is not written after"):
        saver.finish()
    slow.go_on.set()
    saver._thread.join(SECONDS)


DIES = """
import sys, time
from pathlib import Path
from trainjob.training.autosave import Autosave
from trainjob.stop import Stop

def slow(file):
    time.sleep(0.5)
    file.write(b"whole")

Autosave(Path(sys.argv[1]), Stop()).save(1, slow)
raise RuntimeError("of the training")
"""


def test_program_that_fails_leaves_what_it_had_handed_over_whole(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, "of the training" in done.stderr) == (1, True)
    assert checkpoint.newest(tmp_path).path.read_bytes() == b"whole"


KILLED = """
import os, signal, sys
from pathlib import Path
from trainjob.training.autosave import Autosave
from trainjob.stop import Stop

def half(file):
    file.write(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)

saver = Autosave(Path(sys.argv[1]), Stop())
saver.save(1, lambda file: file.write(b"whole"))
saver.save(2, half)
saver.finish()
"""


def test_program_killed_while_it_writes_leaves_the_one_before_and_nothing_of_the_half(tmp_path, caplog):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, timeout=SECONDS, check=False)
    assert done.returncode == -9
    with caplog.at_level(logging.WARNING):
        found = checkpoint.newest(tmp_path)
    assert (found.step, found.path.read_bytes()) == (1, b"whole")
    assert json.loads(found.path.with_suffix(".json").read_text())["bytes"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000001.ckpt", "checkpoint-00000001.json"]
