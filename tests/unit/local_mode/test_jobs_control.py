"""When a job must stop or is interrupted, by clocks that a test moves, and the order that another process gives."""

import json
import threading

import pytest

from local_mode.errors import JobStateError, UnknownJobError
from local_mode.jobs import interrupt as interrupts
from local_mode.jobs.clock import steady
from local_mode.jobs.control import Control, Interruption, planned
from local_mode.jobs.folder import make_folder
from local_mode.jobs.interrupt import interrupt
from local_mode.jobs.rules import parse
from tests.unit.local_mode.test_jobs_request import REQUEST


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def spot(plan="", max_run=100, max_wait=200):
    tags = {"Tags": [{"Key": "local_mode:interrupt-after", "Value": plan}]} if plan else {}
    limits = {"MaxRuntimeInSeconds": max_run, "MaxWaitTimeInSeconds": max_wait}
    return parse({**REQUEST, "EnableManagedSpotTraining": True, "StoppingCondition": limits, **tags})


def test_limits_count_training_and_waiting_as_documented():
    clock = Clock()
    control = Control(spot("30/50"), clock=clock)
    clock.now = 10
    control.training_begins()
    clock.now = 39
    assert control.reason() is None
    clock.now = 40
    assert control.reason() == "Interrupted"
    clock.now = 42  # the grace is training, too
    control.training_ends()
    control.instance_is_lost()
    clock.now = 92
    assert control.reason() is None
    control.training_begins()
    clock.now = 92 + 68
    assert control.reason() is None
    assert control.times() == {"TrainingTimeInSeconds": 150, "BillableTimeInSeconds": 100}
    clock.now = 92 + 68.5
    assert control.reason() == "MaxRuntimeExceeded"
    clock.now = 201
    assert control.reason("MaxRuntimeExceeded") == "MaxRuntimeExceeded"


def test_waiting_that_goes_on_is_not_billed():
    clock = Clock()
    control = Control(spot(), clock=clock)
    assert control.times() == {}
    control.training_begins()
    clock.now = 10
    control.training_ends()
    control.instance_is_lost()
    clock.now = 60

    assert control.times() == {"TrainingTimeInSeconds": 60, "BillableTimeInSeconds": 10}


def test_wait_longer_than_is_left_ends_at_the_limit():
    clock = Clock()
    control = Control(spot("0/600", max_wait=100), clock=clock)
    control.training_begins()
    assert control.reason() == "Interrupted"
    control.training_ends()
    clock.now = 99.99

    assert control.await_instance() == "MaxWaitTimeExceeded"


def test_stop_comes_before_all_else_and_in_an_interruption_too():
    control = Control(spot("0"), clock=Clock())
    control.training_begins()
    control.stop.set()

    assert control.reason() == "Stopped"
    assert control.reason("Interrupted") == "Stopped"
    assert control.await_instance() == "Stopped"
    assert control.reason("MaxRuntimeExceeded") == "MaxRuntimeExceeded"


def test_interruption_asked_for_outside_of_training_waits_for_it():
    control = Control(spot(), clock=Clock())
    control.ask_interruption()
    assert control.reason() is None
    control.training_begins()
    assert control.reason() == "Interrupted"
    assert control.reason() is None


def test_jobs_that_are_no_spot_training_are_not_interrupted(tmp_path):
    orders = tmp_path / "orders"
    orders.write_text('{"wait": 1}')
    control = Control(parse(REQUEST), orders=orders, clock=Clock())
    control.training_begins()

    assert control.reason() is None
    with pytest.raises(JobStateError, match="Only managed spot training is interrupted"):
        control.ask_interruption()


@pytest.mark.parametrize("text", ['{"wait": 2.5}', "{", "[]", '{"wait": "x"}'])
def test_order_in_a_file_is_taken_once_and_a_bad_one_removed(tmp_path, text):
    orders = tmp_path / "orders"
    orders.write_text(text)
    control = Control(spot(), orders=orders, clock=Clock())
    control.training_begins()

    assert control.reason() == ("Interrupted" if "2.5" in text else None)
    assert not orders.exists()


def test_tag_plans_interruptions():
    tags = [{"Key": "other", "Value": "9"}, {"Key": "local_mode:interrupt-after", "Value": "60  60/300 0.5"}]

    assert planned(None) == []
    assert planned(tags) == [
        Interruption(after=60), Interruption(after=60, wait=300), Interruption(after=0.5),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="could not convert"):
        planned([{"Key": "local_mode:interrupt-after", "Value": "soon"}])


def test_steady_clock_does_not_follow_the_wall_clock_when_it_is_set():
    wall, elapsed = Clock(), Clock()
    wall.now, elapsed.now = 1_000_000.0, 50.0
    clock = steady(wall, elapsed)
    for jump in (-3600, 0, 86_400):
        wall.now += jump
        elapsed.now += 10
    assert clock() == 1_000_030.0


def running(tmp_path, **changes):
    folder, _ = make_folder(tmp_path, "job")
    folder.request.write_text(json.dumps({"EnableManagedSpotTraining": True, **changes}))
    return folder


def test_order_is_given_and_taken_up_by_the_process_that_runs_the_job(tmp_path):
    folder = running(tmp_path)
    control = Control(spot(), orders=folder.orders)
    control.training_begins()
    seen = []
    taker = threading.Thread(target=lambda: seen.append(next(r for r in iter(control.reason, "x") if r)))
    taker.start()
    interrupt(tmp_path, "job", wait=0.01)
    taker.join(10)

    assert seen == ["Interrupted"]
    assert control.await_instance() is None


def test_order_that_nobody_takes_up_is_withdrawn(tmp_path):
    folder = running(tmp_path)
    with pytest.raises(JobStateError, match="Training job 'job' does not train now"):
        interrupt(tmp_path, "job", patience=0.1)
    assert list(folder.scratch.iterdir()) == []
    folder.scratch.rmdir()
    with pytest.raises(JobStateError, match="'job' does not train now"):
        interrupt(tmp_path, "job")


def test_interrupt_says_what_it_cannot_do(tmp_path):
    running(tmp_path, EnableManagedSpotTraining=False)
    with pytest.raises(UnknownJobError, match=f"No training job is called 'none' in {tmp_path}; see --root."):
        interrupt(tmp_path, "none")
    with pytest.raises(JobStateError, match="'job' is no managed spot training"):
        interrupt(tmp_path, "job")
    (interrupts.jobs_folder(tmp_path) / "job" / "request.json").write_text('{"EnableManagedSpotTraining": true}')
    with pytest.raises(JobStateError, match="there again after -1 s"):
        interrupt(tmp_path, "job", wait=-1)
