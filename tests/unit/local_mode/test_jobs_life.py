"""A job's life over a runner that a test plays: statuses, times, reasons, and what must not cost it its result."""

import errno
import threading
import time

import pytest

from local_mode.instance import artifacts
from local_mode.jobs.create import create
from local_mode.jobs.record import Record
from local_mode.jobs.rules import parse
from local_mode.jobs.store import Store
from local_mode.jobs.task import Settings
from tests.contract.lab import Recorder, document, eventually
from tests.unit.local_mode.fake_runner import FakeRunner

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
}


def start(folder, runner, **fields):
    settings = Settings(shm_bytes=0, grace_seconds=30, region="eu-west-1")
    recorder = Recorder()
    request = parse(document("job", ["none"], folder, **fields))
    return create(request, runner=runner, root=folder / "root", console=recorder, settings=settings), recorder


def finish(job):
    assert job.wait(20)
    return job.describe()


def training(job):
    eventually(lambda: job.describe()["SecondaryStatus"] == "Training")


def test_clock_that_is_set_changes_no_duration_and_reaches_no_limit(tmp_path, monkeypatch):
    real, jump = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + jump[0])
    runner = FakeRunner()
    job, _ = start(tmp_path, runner, **SPOT)
    for jump[0] in (-86_400.0, 86_400.0, -10 * 86_400.0):
        training(job)
        time.sleep(0.3)
    runner.instances[0].end()
    described = finish(job)

    assert described["TrainingJobStatus"] == "Completed"
    assert 1 <= described["TrainingTimeInSeconds"] <= 5
    times = [moment for item in described["SecondaryStatusTransitions"]
             for moment in (item["StartTime"], item["EndTime"])]  # fmt: skip
    assert times == sorted(times)
    assert described["TrainingEndTime"] - described["TrainingStartTime"] < 5
    assert abs(described["CreationTime"] - real()) < 30


def test_each_attempt_has_a_tree_of_its_own_and_what_is_restored(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a").write_text("1")
    runner = FakeRunner()
    job, recorder = start(tmp_path, runner, CheckpointConfig={"S3Uri": str(tmp_path / "kept")}, **SPOT)
    training(job)
    first = runner.instances[0].launch
    (first.opt_ml / "model" / "weights").touch()
    (first.checkpoints.source / "b").write_text("2")
    job.interrupt()
    eventually(lambda: len(runner.instances) == 2)
    launch = runner.instances[1].launch

    assert (runner.instances[0].signals, list((launch.opt_ml / "model").iterdir())) == (["TERM"], [])
    assert sorted(path.name for path in launch.checkpoints.source.iterdir()) == ["a", "b"]
    runner.instances[1].end()
    assert finish(job)["TrainingJobStatus"] == "Completed"
    assert "attempt 2 begins, from what is at " + str(tmp_path / "kept") in recorder.notes


def test_checkpoints_that_cannot_go_out_at_an_interruption_are_no_end_of_the_job(tmp_path):
    (tmp_path / "kept" / "a").mkdir(parents=True)
    runner = FakeRunner()
    job, recorder = start(tmp_path, runner, CheckpointConfig={"S3Uri": str(tmp_path / "kept")}, **SPOT)
    training(job)
    (runner.instances[0].launch.checkpoints.source / "a").write_text("1")
    job.interrupt()
    eventually(lambda: len(runner.instances) == 2)
    runner.instances[1].end()

    assert finish(job)["TrainingJobStatus"] == "Completed"
    assert any("The next attempt goes on from an older one." in note for note in recorder.notes)


def test_metrics_of_all_attempts_are_described_and_written_now_and_then(tmp_path):
    runner = FakeRunner(on_start=lambda instance: instance.lines.append(b"loss=0.5\n"))
    metrics = {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]}
    job, _ = start(tmp_path, runner, algorithm=metrics, **SPOT)
    eventually(lambda: [item["Value"] for item in job.describe()["FinalMetricDataList"]] == [0.5])
    stored = lambda: Store(tmp_path / "root").get("job")["FinalMetricDataList"]  # noqa: E731
    eventually(stored)
    runner.instances[0].lines.append(b"loss=0.25\n")
    eventually(lambda: job.describe()["FinalMetricDataList"][0]["Value"] == 0.25)
    assert stored()[0]["Value"] == 0.5  # not at every line
    runner.instances[0].end()

    assert finish(job)["FinalMetricDataList"][0]["Value"] == 0.25
    assert stored()[0]["Value"] == 0.25


def test_record_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch):
    def full(self, *, durable):
        raise OSError(errno.ENOSPC, "No space left on device", "job.json")

    runner = FakeRunner()
    job, recorder = start(tmp_path, runner)
    training(job)
    monkeypatch.setattr(Record, "_save", full)
    runner.instances[0].end()

    assert finish(job)["TrainingJobStatus"] == "Completed"
    assert (tmp_path / "out" / "job" / "output" / "model.tar.gz").exists()
    assert any("cannot write or remove job.json: No space left on device" in note for note in recorder.notes)


def test_record_that_finds_no_room_is_written_when_the_jobs_scratch_is_gone(tmp_path, monkeypatch):
    save = Record._save
    runner = FakeRunner()
    job, _ = start(tmp_path, runner)
    training(job)

    def save_if_there_is_room(self, *, durable):
        if job.folder.scratch.exists():
            raise OSError(errno.ENOSPC, "No space left on device", "job.json")
        save(self, durable=durable)

    monkeypatch.setattr(Record, "_save", save_if_there_is_room)
    runner.instances[0].end()

    assert finish(job)["TrainingJobStatus"] == "Completed"
    assert Store(tmp_path / "root").get("job")["TrainingJobStatus"] == "Completed"
    assert job.folder.record.exists()


def test_end_is_known_before_the_container_is_removed(tmp_path):
    removed = threading.Event()
    runner = FakeRunner()
    job, _ = start(tmp_path, runner)
    training(job)
    runner.instances[0].close = lambda: removed.wait(20)
    runner.instances[0].end()

    eventually(lambda: job.describe()["TrainingJobStatus"] == "Completed")
    assert not job.wait(0)  # nor is whoever waits for all of it to be gone misled
    removed.set()
    assert job.wait(20)


def test_4_3_disk_that_is_full_at_the_upload_is_said_in_awss_words(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.shutil, "copyfile", full)
    job, _ = start(tmp_path, FakeRunner(on_start=lambda instance: instance.end()))
    described = finish(job)

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("ClientError: Artifact upload failed: cannot write to ")
    assert described["FailureReason"].endswith("No space left on device.")
    assert (job.folder.path / "model.tar.gz").exists()  # not lost


@pytest.mark.parametrize("code", [1, 137, 255])
def test_4_3_reason_of_a_failure_has_its_code_and_1024_characters_at_most(tmp_path, code):
    def fail(instance):
        (instance.launch.opt_ml / "output" / "failure").write_text("ü" * 5000)
        instance.end(code)

    job, _ = start(tmp_path, FakeRunner(on_start=fail))
    reason = finish(job)["FailureReason"]

    assert len(reason) == 1024
    assert reason.startswith("AlgorithmError: üü")
    assert reason.endswith(f"ü, exit code: {code}")


def test_stop_while_data_comes_starts_no_container(tmp_path, monkeypatch):
    runner = FakeRunner()
    from local_mode.jobs import execution  # noqa: PLC0415

    prepare = execution.Execution.prepare
    holder = []

    def slow(self):
        eventually(lambda: holder)
        holder[0].stop()
        prepare(self)

    monkeypatch.setattr(execution.Execution, "prepare", slow)
    job, _ = start(tmp_path, runner)
    holder.append(job)
    described = finish(job)

    transitions = [item["Status"] for item in described["SecondaryStatusTransitions"]]
    assert transitions == ["Starting", "Downloading", "Stopping", "Stopped"]
    assert runner.instances == []


def test_listener_that_fails_for_every_line_costs_neither_log_nor_metrics_nor_the_end(tmp_path, monkeypatch):
    def refuse(self, text, host):
        raise ValueError(f"cannot take {text!r}")

    monkeypatch.setattr(Recorder, "line", refuse)
    runner = FakeRunner(lambda instance: instance.lines.extend(b"loss=%d\n" % number for number in range(100)))
    algorithm = {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9]+)"}]}
    job, recorder = start(tmp_path, runner, algorithm=algorithm)
    training(job)
    runner.instances[0].end()
    described = finish(job)

    assert (described["TrainingJobStatus"], described["FinalMetricDataList"][0]["Value"]) == ("Completed", 99.0)
    assert job.folder.log("algo-1").read_bytes().count(b"\n") >= 100
    (note,) = [note for note in recorder.notes if "could not be handed on" in note]
    assert "cannot take b'loss=0" in note
