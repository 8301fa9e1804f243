"""What the sender makes of records and lines: runs begun once, filled and ended; outages; what is refused."""

import json
import os
import threading

import pytest

from local_mode.errors import RunRefusedError, TrackingError
from local_mode.jobs.database import Database, put
from local_mode.jobs.store import Store
from local_mode.tracking import sender as module
from local_mode.tracking.recorder import Recorder
from local_mode.tracking.sender import Sender, await_turn, follow, hold, shown
from local_mode.tracking.spool import entries
from tests.contract.lab import eventually

ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/job"
TUNING = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/tune"


class FakeRuns:
    """Keeps what it is told, and fails as often as it is asked to."""

    def __init__(self):
        self.runs, self.failures, self.refusals = {}, 0, 0

    def begin(self, plan, *, run="", parent=""):
        self._may_fail()
        found = run or next((key for key, value in self.runs.items() if value["plan"].name == plan.name), "")
        name = found or f"run-{len(self.runs) + 1}"
        self.runs.setdefault(name, {"plan": plan, "parent": parent, "points": [], "tags": {}, "links": {}, "end": None})
        return name

    def tag(self, run, tags):
        self._may_fail()
        self.runs[run]["tags"] |= tags

    def points(self, run, points):
        self._may_fail()
        self.runs[run]["points"] += points

    def link(self, run, artifacts):
        self.runs[run]["links"] |= artifacts

    def end(self, run, status, at):
        self.runs[run]["end"] = (status, at)

    def _may_fail(self):
        if self.failures:
            self.failures -= 1
            raise TrackingError("connection refused")
        if self.refusals:
            self.refusals -= 1
            raise RunRefusedError("no such run")


def record(status="InProgress", **fields):
    return {
        "TrainingJobName": "job",
        "TrainingJobArn": ARN,
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "CreationTime": 100.0,
        "LastModifiedTime": 160.0,
        "AlgorithmSpecification": {"TrainingImage": "image:1", "TrainingInputMode": "Pipe"},
        "HyperParameters": {"lr": "0.1"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        **fields,
    }


@pytest.fixture
def runs():
    return FakeRuns()


@pytest.fixture
def notes():
    return []


@pytest.fixture
def job(tmp_path, notes):
    """A recorder of a job that has begun; its record is in the database."""
    Store(tmp_path).put(record())
    recorder = Recorder(tmp_path, "job", notes.append, lambda _: None)
    recorder.status("Starting", "")
    return recorder


@pytest.fixture
def sender(tmp_path, runs):
    return Sender(tmp_path, "uri", lambda: runs)


def test_mlflow_is_not_loaded_while_there_is_nothing_to_send(tmp_path, notes):
    def load():
        raise AssertionError("loaded")

    assert Sender(tmp_path, "uri", load).send(notes.append)


def test_job_becomes_a_run_with_its_points_and_its_end(job, sender, runs, notes, tmp_path):
    job.metric("loss", 0.5, 101.0)
    job.metric("acc", 0.1, 101.0)
    job.metric("loss", 0.25, 102.0)
    job.facts({"mlflow.source.git.commit": "abc"})
    assert not sender.send(notes.append)
    run = runs.runs["run-1"]
    assert (run["plan"].name, run["plan"].params, run["plan"].began) == ("job", {"lr": "0.1"}, 100.0)
    assert run["points"] == [("loss", 0.5, 101.0, 1), ("acc", 0.1, 101.0, 1), ("loss", 0.25, 102.0, 2)]
    assert run["tags"] == {"mlflow.source.git.commit": "abc"}

    job.metric("loss", 0.125, 103.0)
    Store(tmp_path).put(record("Failed", FailureReason="AlgorithmError: why, exit code: 3"))
    job.status("Failed", "")
    assert sender.send(notes.append)

    assert run["points"][3:] == [("loss", 0.125, 103.0, 3)]
    assert run["end"] == ("FAILED", 160.0)
    assert run["tags"]["sagemaker.failure_reason"] == "AlgorithmError: why, exit code: 3"
    assert entries(tmp_path) == []
    assert (len(runs.runs), notes) == (1, [])


@pytest.mark.parametrize(("status", "shown_as"), [("Completed", "FINISHED"), ("Stopped", "KILLED")])
def test_status_of_a_job_becomes_that_of_its_run(job, sender, runs, notes, tmp_path, status, shown_as):
    Store(tmp_path).put(record(status))
    job.status(status, "")
    sender.send(notes.append)

    assert runs.runs["run-1"]["end"][0] == shown_as


def test_what_a_job_had_and_left_is_told(job, sender, runs, notes, tmp_path):
    data = {"train": {"Objects": 5, "Bytes": 100, "Sha256": "ab12"}}
    (tmp_path / "jobs" / "job" / "logs").mkdir(parents=True)
    (tmp_path / "jobs" / "job" / "model.tar.gz").write_bytes(b"")
    (tmp_path / "jobs" / "job" / "logs" / "algo-1.log").write_bytes(b"")
    Store(tmp_path).put(
        record("Completed", ModelArtifacts={"S3ModelArtifacts": "s3://b/m"}, LocalMode={"Verdict": "v", "Data": data})
    )
    job.status("Completed", "")
    sender.send(notes.append)

    run = runs.runs["run-1"]
    assert run["tags"]["sagemaker.data.train"] == "5 objects, 100 bytes, sha256 ab12"
    assert (run["tags"]["sagemaker.model"], run["tags"]["sagemaker.verdict"]) == ("s3://b/m", "v")
    assert set(run["links"]) == {"model.tar.gz", "logs/algo-1.log"}


def test_sender_that_starts_anew_goes_on_where_the_last_one_was(job, sender, runs, notes, tmp_path):
    job.metric("loss", 0.5, 101.0)
    sender.send(notes.append)
    job.metric("loss", 0.25, 102.0)
    Sender(tmp_path, "uri", lambda: runs).send(notes.append)

    assert [point[1] for point in runs.runs["run-1"]["points"]] == [0.5, 0.25]


def test_other_mlflow_gets_a_run_of_its_own_with_all_points(job, sender, runs, notes, tmp_path):
    job.metric("loss", 0.5, 101.0)
    sender.send(notes.append)
    other = FakeRuns()
    Sender(tmp_path, "elsewhere", lambda: other).send(notes.append)

    assert [point[1] for point in other.runs["run-1"]["points"]] == [0.5]


def test_run_that_the_request_names_is_used(tmp_path, sender, runs, notes):
    Store(tmp_path).put(record(Environment={"MLFLOW_RUN_ID": "mine"}))
    Recorder(tmp_path, "job", notes.append, lambda _: None).status("Starting", "")
    sender.send(notes.append)

    assert set(runs.runs) == {"mine"}


@pytest.fixture
def change(tmp_path, notes):
    """Changes the record of a tuning job, one of whose jobs is over and waits to be sent."""
    tuning = {
        "HyperParameterTuningJobName": "tune",
        "HyperParameterTuningJobArn": TUNING,
        "HyperParameterTuningJobStatus": "InProgress",
        "HyperParameterTuningJobConfig": {"Strategy": "Random", "ResourceLimits": {"MaxParallelTrainingJobs": 2}},
        "CreationTime": 90.0,
        "LastModifiedTime": 200.0,
    }

    def change(**fields):
        with Database(tmp_path).writing() as opened:
            put(opened, "tuning_jobs", {**tuning, **fields})

    change()
    Store(tmp_path).put(record("Completed", TuningJobArn=TUNING))
    Recorder(tmp_path, "job", notes.append, lambda _: None).status("Starting", "")
    return change


def test_tuning_job_is_the_parent_of_its_training_jobs_and_ends_with_its_best(change, sender, runs, notes):
    assert not sender.send(notes.append)
    assert (runs.runs["run-1"]["plan"].name, runs.runs["run-2"]["parent"]) == ("tune", "run-1")

    best = {"TrainingJobName": "job", "TunedHyperParameters": {"lr": "0.1"},
            "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "acc", "Value": 0.75}}  # fmt: skip
    change(HyperParameterTuningJobStatus="Completed", BestTrainingJob=best)
    assert sender.send(notes.append)

    parent = runs.runs["run-1"]
    assert parent["end"] == ("FINISHED", 200.0)
    assert (parent["tags"]["sagemaker.best_training_job"], parent["tags"]["sagemaker.best_value"]) == ("job", "0.75")
    assert json.loads(parent["tags"]["sagemaker.best_hyperparameters"]) == {"lr": "0.1"}


def test_tuning_job_that_a_killed_sender_left_is_ended_by_the_next(tmp_path, change, sender, runs, notes):
    assert not sender.send(notes.append)
    assert entries(tmp_path) == []
    change(HyperParameterTuningJobStatus="Stopped")

    assert Sender(tmp_path, "uri", lambda: runs).send(notes.append)
    assert runs.runs["run-1"]["end"] == ("KILLED", 200.0)
    assert Sender(tmp_path, "uri", pytest.fail).send(notes.append)


def test_end_of_a_tuning_job_that_is_refused_is_told_once(change, sender, runs, notes):
    assert not sender.send(notes.append)
    change(HyperParameterTuningJobStatus="Completed")
    runs.refusals = 1

    assert sender.send(notes.append)
    assert notes == ["MLflow does not take the end of tuning job tune: no such run"]
    assert sender.send(notes.append)


def test_job_that_was_deleted_meanwhile_ends_its_run(job, sender, runs, notes, tmp_path):
    sender.send(notes.append)
    Store(tmp_path).remove("job")
    assert sender.send(notes.append)

    assert runs.runs["run-1"]["end"][0] == "KILLED"
    assert entries(tmp_path) == []


def test_refusal_of_one_job_is_told_and_does_not_stop_others(job, sender, runs, notes, tmp_path):
    Store(tmp_path).put({**record("Completed"), "TrainingJobName": "other", "CreationTime": 101.0})
    Recorder(tmp_path, "other", notes.append, lambda _: None).status("Starting", "")
    runs.refusals = 1
    assert sender.send(notes.append)

    assert [run["plan"].name for run in runs.runs.values()] == ["other"]
    (note,) = notes
    assert "does not take job job: no such run" in note
    assert [path.name for path in (tmp_path / "tracking").iterdir()] == ["job@100000.refused"]


def test_outage_is_warned_of_once_and_everything_is_sent_after_it(job, sender, runs, notes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAUSES", (0.001,))
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)
    job.metric("loss", 0.5, 101.0)
    Store(tmp_path).put(record("Completed"))
    runs.failures = 5
    over = threading.Event()
    thread = threading.Thread(target=follow, args=(sender, over, notes.append, "there"))
    thread.start()
    eventually(lambda: not entries(tmp_path))
    over.set()
    thread.join(20)

    assert not thread.is_alive()
    assert [point[1] for point in runs.runs["run-1"]["points"]] == [0.5]
    assert notes == [
        "MLflow at there does not take what jobs report (connection refused); they go on, and it is kept till then",
        "MLflow at there answers again; what was kept is sent",
    ]


def test_sender_gives_up_after_its_last_seconds_and_keeps_what_is_left(job, sender, runs, notes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LAST_SECONDS", 0.1)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    over = threading.Event()
    over.set()
    follow(sender, over, notes.append, "there")

    assert notes == []
    assert len(entries(tmp_path)) == 1, "the job goes on"


def test_sender_does_not_wait_at_its_end_for_an_mlflow_that_does_not_answer(job, sender, runs, notes, tmp_path):
    runs.failures = 1
    over = threading.Event()
    over.set()
    follow(sender, over, notes.append, "there")

    assert len(notes) == 1
    assert len(entries(tmp_path)) == 1


def test_only_one_sender_has_a_root(tmp_path):
    held = hold(tmp_path)

    assert held is not None
    assert hold(tmp_path) is None


def test_second_sender_waits_for_the_first_and_says_so_once(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "LAST_SECONDS", 0.0)
    first, over, turns = hold(tmp_path), threading.Event(), []
    thread = threading.Thread(target=lambda: turns.append(await_turn(tmp_path, over, notes.append)))
    thread.start()
    eventually(lambda: notes)
    assert turns == []
    os.close(first)
    thread.join(20)

    assert turns == [True]
    assert len(notes) == 1
    over.set()
    assert not await_turn(tmp_path, over, notes.append)


def test_password_of_a_server_is_not_shown():
    assert shown("https://me:secret@host/path") == "https://host/path"
    assert shown("sqlite:////a/b.db") == "sqlite:////a/b.db"
