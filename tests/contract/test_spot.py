"""Contract 4.2, 4.3, 4.4: managed spot training, its interruptions and what limits them, over every runner."""

import re
import subprocess
import sys

import pytest

from local_mode.errors import JobStateError, ValidationError
from tests.contract.endpoint import BUCKET, LOGS, Server, environment
from tests.contract.lab import document, eventually, launch

pytestmark = pytest.mark.contract("4.2", "I")

ONE_INTERRUPTION = ["Starting", "Downloading", "Training", "Interrupted", "Starting", "Downloading", "Training"]

one_runner = pytest.mark.parametrize("kind", ["plain"], indirect=True)
"""For what no runner has a part in."""


def spot(max_wait=600, max_run=600, **tags):
    limits = {"MaxRuntimeInSeconds": max_run, "MaxWaitTimeInSeconds": max_wait}
    changes = {"EnableManagedSpotTraining": True, "StoppingCondition": limits}
    return changes | ({"Tags": [{"Key": "local_mode:interrupt-after", "Value": tags["plan"]}]} if tags else {})


def wait_for_attempt(run, number):
    eventually(lambda: f"attempt={number} ready\n" in run.recorder.lines)


@pytest.mark.contract("4.2", "D")
def test_4_2_interrupted_job_goes_on_from_its_checkpoint_with_nothing_else_of_before(lab):
    run = lab.start(["attempts", 2], CheckpointConfig={"S3Uri": str(lab.folder / "kept")}, **spot())
    wait_for_attempt(run, 1)
    run.job.interrupt()
    run.end()

    assert run.status == "Completed"
    assert run.secondaries == [*ONE_INTERRUPTION, "Uploading", "Completed"]
    clean = {"model": [], "data": [], "name": "job-1"}
    assert run.report["seen"] == [clean, clean]
    assert all(item["StatusMessage"] for item in run.description["SecondaryStatusTransitions"])
    assert any("attempt 2 begins, from what is at" in note for note in run.recorder.notes)


@pytest.mark.contract("4.2", "U")
@one_runner
def test_4_2_two_interruptions_planned_by_a_tag_give_three_attempts(lab):
    plan = spot(plan="0.5 0.5/0.2")
    run = lab.run(["attempts", 3], CheckpointConfig={"S3Uri": str(lab.folder / "kept")}, **plan)

    again = ["Starting", "Downloading", "Training"]
    assert run.secondaries == [*ONE_INTERRUPTION, "Interrupted", *again, "Uploading", "Completed"]
    assert len(run.report["seen"]) == 3


@pytest.mark.parametrize("kind", ["docker", "bubblewrap"], indirect=True)  # a plain process has no second host
def test_4_4_all_hosts_of_an_interrupted_job_find_the_checkpoints_of_all(lab):
    hosts = {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}
    config = {"CheckpointConfig": {"S3Uri": str(lab.folder / "kept")}}
    run = lab.start(["own_checkpoints", 2], **config, **hosts, **spot())
    eventually(lambda: sorted(run.recorder.lines) == ["ready 0\n"] * 2)
    run.job.interrupt()
    run.end()

    assert run.secondaries == [*ONE_INTERRUPTION, "Uploading", "Completed"]
    assert sorted(run.recorder.lines) == ["ready 0\n"] * 2 + ["ready 2\n"] * 2


@one_runner
def test_4_4_interrupted_job_without_checkpoint_config_starts_from_nothing(lab):
    run = lab.start(["wait_for_stop"], **spot(plan="0.5"))
    eventually(lambda: run.secondaries == ONE_INTERRUPTION)
    eventually(lambda: run.recorder.lines == ["ready\n", "ready\n"])
    run.job.stop()

    assert run.end().status == "Stopped"
    assert any("from nothing: the request has no CheckpointConfig" in note for note in run.recorder.notes)


def test_4_3_program_that_ignores_the_interruption_is_killed_after_the_grace(lab):
    run = lab.start(["ignore_stop"], grace=0.5, **spot())
    assert run.recorder.ready.wait(30)
    run.job.interrupt()
    eventually(lambda: run.secondaries == ONE_INTERRUPTION)
    run.job.kill()

    assert run.end().status == "Stopped"


@one_runner
def test_4_2_waiting_is_no_billable_time(lab):
    run = lab.run(["attempts", 2], CheckpointConfig={"S3Uri": str(lab.folder / "kept")}, **spot(plan="0.5/3"))

    assert run.description["BillableTimeInSeconds"] <= run.description["TrainingTimeInSeconds"] - 2


@pytest.mark.contract("4.2", "D")
@one_runner
def test_4_2_job_that_waits_too_long_is_stopped(lab):
    run = lab.run(["wait_for_stop"], **spot(max_run=3, max_wait=4, plan="0.5/600"))

    assert run.secondaries == ["Starting", "Downloading", "Training", "Interrupted", "Stopping", "MaxWaitTimeExceeded"]
    assert run.status == "Stopped"
    assert not (run.folder / "model.tar.gz").exists()


@one_runner
def test_4_3_max_wait_ends_a_training_that_waiting_left_no_time(lab):
    run = lab.run(["wait_for_stop"], **spot(max_run=4, max_wait=4, plan="0.2/2.5"))

    assert run.secondaries == [*ONE_INTERRUPTION, "Stopping", "Uploading", "MaxWaitTimeExceeded"]
    assert run.status == "Stopped"


@pytest.mark.contract("4.3", "D")
@one_runner
def test_4_3_max_runtime_covers_all_attempts_together(lab):
    run = lab.run(["wait_for_stop"], **spot(max_run=3, max_wait=600, plan="2"))

    assert run.secondaries == [*ONE_INTERRUPTION, "Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert run.description["TrainingTimeInSeconds"] < 10


def test_4_3_job_can_be_stopped_while_it_waits_for_an_instance(lab):
    run = lab.start(["wait_for_stop"], **spot(plan="0.5/600"))
    eventually(lambda: any("Interrupted" in item for item in run.secondaries))
    eventually(lambda: not any((run.folder / "scratch").glob("*")))
    run.job.stop()
    run.end()

    assert run.secondaries == ["Starting", "Downloading", "Training", "Interrupted", "Stopping", "Stopped"]
    assert run.status == "Stopped"


@one_runner
def test_4_3_job_can_be_stopped_in_the_grace_of_an_interruption(lab):
    run = lab.start(["ignore_stop"], grace=3, **spot())
    assert run.recorder.ready.wait(30)
    run.job.interrupt()
    eventually(lambda: run.secondaries[-1] == "Interrupted")
    run.job.stop()
    run.end()

    assert run.secondaries[3:] == ["Interrupted", "Stopping", "Uploading", "Stopped"]


def test_job_on_instances_of_its_own_is_not_interrupted(lab):
    run = lab.start(["wait_for_stop"])
    with pytest.raises(JobStateError, match="Only managed spot training is interrupted"):
        run.job.interrupt()
    run.job.stop()
    run.end()


@pytest.mark.contract("4.1", "D")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds is missing and MaxRuntimeInSeconds is 600"),
        (spot(max_wait=5, max_run=6), "must be present and be greater than or equal to MaxRuntimeInSeconds"),
        (spot() | {"EnableManagedSpotTraining": False}, "MaxWaitTimeInSeconds is 600, but EnableManagedSpotTraining"),
        (spot(plan="soon"), "local_mode:interrupt-after has no seconds as in '60 60/300'"),
        (spot(plan="-1"), "has a number that is no time"),
        ({"Tags": spot(plan="1")["Tags"]}, "interrupts managed spot training only"),
    ],
)
def test_4_1_rules_of_spot_are_checked_before_anything_starts(tmp_path, changes, message):
    from local_mode.jobs.rules import parse  # noqa: PLC0415

    with pytest.raises(ValidationError, match=re.escape(message)):
        parse(document("x", ["look"], tmp_path, **changes))


def interrupt(folder, *words):
    argv = [sys.executable, "-m", "local_mode", "interrupt", *words, "--root", str(folder / "root")]
    return subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.contract("command line", "U")
def test_command_interrupts_a_job_of_another_terminal(tmp_path):
    kept = {"CheckpointConfig": {"S3Uri": str(tmp_path / "kept")}}
    command = launch("plain", tmp_path, document("spot", ["attempts", 2], tmp_path, **kept, **spot()))
    assert any("attempt=1 ready" in line for line in command.stdout)
    done = interrupt(tmp_path, "spot", "--wait", "0.2")
    _, err = command.communicate(timeout=60)

    assert (done.returncode, done.stdout) == (0, "spot: interrupted\n"), done.stderr
    assert command.returncode == 0
    assert "Interrupted - " in err
    again = interrupt(tmp_path, "spot")
    assert (again.returncode, "does not train now" in again.stderr) == (1, True)


@pytest.mark.contract("command line", "U")
def test_command_says_which_job_it_cannot_interrupt(tmp_path):
    command = launch("plain", tmp_path, document("owned", ["wait_for_stop"], tmp_path))
    assert any("ready" in line for line in command.stdout)
    owned, unknown = interrupt(tmp_path, "owned"), interrupt(tmp_path, "nobody")
    command.terminate()
    command.communicate(timeout=60)

    assert owned.returncode == unknown.returncode == 1
    assert "'owned' is no managed spot training" in owned.stderr
    assert "No training job is called 'nobody'" in unknown.stderr


def test_4_6_each_attempt_has_a_log_stream_of_its_own_at_the_endpoint(tmp_path):
    server = Server.start(tmp_path)
    try:
        server.client("s3").create_bucket(Bucket=BUCKET)
        kept = {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/kept"}}
        server.create("streams", ["attempts", 2], **kept, **spot())
        eventually(lambda: server.log_lines("streams") == ["attempt=1 ready"])
        assert interrupt(tmp_path, "streams").returncode == 0
        described = server.ended("streams")

        assert described["TrainingJobStatus"] == "Completed", described
        listed = server.client("logs").describe_log_streams(logGroupName=LOGS, logStreamNamePrefix="streams/")
        names = [stream["logStreamName"] for stream in listed["logStreams"]]
        assert len(names) == len(set(names)) == 2
        assert all(re.fullmatch(r"streams/algo-1-\d{10}", name) for name in names)
        assert described["BillableTimeInSeconds"] <= described["TrainingTimeInSeconds"]
    finally:
        assert server.end() == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text()
