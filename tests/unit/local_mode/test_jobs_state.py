"""A job's record, metrics, folder and sweep."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from local_mode.errors import LocalModeError, ResourceInUseError
from local_mode.jobs.folder import JobFolder, clear, jobs_folder, make_folder, release, root_lock, take_lock
from local_mode.jobs.job import Job
from local_mode.jobs.metrics import MetricScanner
from local_mode.jobs.record import COMPLETED, STOPPING, Record, algorithm_error
from local_mode.jobs.request import MetricDefinition
from local_mode.jobs.rules import parse
from local_mode.jobs.store import Store
from local_mode.jobs.sweep import sweep
from tests.unit.local_mode.test_jobs_request import REQUEST


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        self.now += 10
        return self.now


def record_at(root, path=None, name="cifar"):
    request = parse({**REQUEST, "TrainingJobName": name})
    place = path or root / "job.json"
    return Record.create(Store(root), place, request, arn="arn:x", model="file:///out/model.tar.gz", clock=Clock())


def test_record_has_describes_shape_from_the_first_moment(tmp_path):
    record = record_at(tmp_path)
    described = Store(tmp_path).get("cifar")

    assert described == record.describe()
    assert not (tmp_path / "job.json").exists()
    assert described["TrainingJobStatus"] == "InProgress"
    assert described["ModelArtifacts"] == {"S3ModelArtifacts": "file:///out/model.tar.gz"}
    assert described["HyperParameters"] == {"epochs": "5"}
    first = {"Status": "Starting", "StartTime": 1010.0, "StatusMessage": "Starting the training job..."}
    assert described["SecondaryStatusTransitions"] == [first]


def test_transitions_end_when_the_next_one_starts_and_times_add_up(tmp_path):
    record = record_at(tmp_path)
    record.enter("Downloading")
    record.enter("Training")
    record.enter("Stopping", status=STOPPING)
    assert record.status == "Stopping"
    record.enter("Completed", status=COMPLETED, FinalMetricDataList=[])
    described = record.describe()

    times = [(item["StartTime"], item["EndTime"]) for item in described["SecondaryStatusTransitions"]]
    assert times == [(1010, 1020), (1020, 1030), (1030, 1040), (1040, 1050), (1050, 1050)]
    assert (described["TrainingStartTime"], described["TrainingEndTime"]) == (1030, 1050)
    assert described["TrainingTimeInSeconds"] == 20
    assert json.loads((tmp_path / "job.json").read_text()) == described == Store(tmp_path).get("cifar")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "AlgorithmError: , exit code: 2"),
        (" out of cheese\n", "AlgorithmError: out of cheese, exit code: 2"),
    ],
)
def test_failure_reason_is_composed_as_observed(text, expected):
    assert algorithm_error(text, 2) == expected
    assert len(algorithm_error("x" * 5000, 137)) == 1024


def scan(regex, *lines):
    scanner = MetricScanner([MetricDefinition(Name="m", Regex=regex)])
    for index, line in enumerate(lines):
        scanner.scan(line, 100.0 + index)
    return [(item["Value"], item["Timestamp"]) for item in scanner.final()]


def test_last_value_of_a_metric_counts_with_the_time_of_its_line():
    assert scan(r"loss=([0-9.]+);", "loss=1.0;", "nothing", "x loss=0.5; loss=0.25;", "loss=;") == [(0.25, 102.0)]


def test_metric_never_seen_is_not_listed():
    assert scan(r"loss=(.+)", "nothing here") == []


def test_values_that_are_no_finite_number_are_no_points():
    assert scan(r"loss=(\S+)", "loss=1", "loss=nan", "loss=inf", "loss=abc") == [(1.0, 100.0)]
    assert scan(r"loss=(\d)?", "loss=") == []


def test_scientific_notation_is_a_number():
    assert scan(r"lr=(\S+)", "lr=1e-3") == [(0.001, 100.0)]


def test_lock_is_held_by_one_and_free_when_released(tmp_path):
    folder, held = make_folder(tmp_path, "a")
    assert take_lock(folder) is None
    (folder.path / ".model.tar.gz.part").touch()
    clear(folder)
    release(folder, held)

    assert sorted(path.name for path in folder.path.iterdir()) == ["logs"]


def test_name_that_is_taken_is_refused(tmp_path):
    folder, held = make_folder(tmp_path, "a")
    with pytest.raises(ResourceInUseError, match=f"'a' exists in {folder.path}; choose another name"):
        make_folder(tmp_path, "a")
    release(folder, held)


def test_folder_that_cannot_be_filled_keeps_neither_its_name_nor_its_lock(tmp_path, monkeypatch):
    make = Path.mkdir

    def full(path, *arguments, **named):
        if path.name == "logs":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        make(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", full)
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="No space left"):
        make_folder(tmp_path, "a")
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    monkeypatch.undo()
    release(*make_folder(tmp_path, "a"))


def test_root_that_cannot_be_written_is_the_users_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(LocalModeError, match=f"Cannot write to {tmp_path}/file: .*; give another folder in --root"),
        root_lock(tmp_path / "file"),
    ):
        pass


def dead_job(root, name, *, with_record=True, hosts=("algo-1",)):
    """What an owner leaves that was killed: everything, the lock released by the kernel."""
    folder, held = make_folder(root, name)
    for host in hosts:
        checkpoints = folder.opt_ml(host) / "checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "last").write_text("state")
        (folder.opt_ml(host) / "input").mkdir()
        os.mkfifo(folder.opt_ml(host) / "input" / "train_0")
    if with_record:
        record_at(root, folder.record, name)
    os.close(held)
    return folder


def test_sweep_marks_dead_jobs_failed_and_leaves_only_what_is_kept(tmp_path):
    folder = dead_job(tmp_path, "dead")
    asked = []

    assert sweep(tmp_path, [asked.append]) == ["dead"]
    assert asked == [folder.path]
    record = json.loads(folder.record.read_text())
    assert (record["TrainingJobStatus"], record["SecondaryStatus"]) == ("Failed", "Failed")
    assert record["FailureReason"].startswith("InternalServerError: local_mode was killed")
    assert sorted(path.name for path in folder.path.iterdir()) == ["checkpoints", "job.json", "logs"]
    assert (folder.checkpoints() / "last").read_text() == "state"
    assert sweep(tmp_path, [asked.append]) == []


def test_sweep_keeps_checkpoints_of_every_host(tmp_path):
    folder = dead_job(tmp_path, "dead", hosts=("algo-1", "algo-2"))

    assert sweep(tmp_path, []) == ["dead"]
    kept = [folder.checkpoints(host) / "last" for host in ("algo-1", "algo-2")]
    assert [path.read_text() for path in kept] == ["state", "state"]


def test_sweep_leaves_living_and_ended_jobs_alone(tmp_path):
    living, held = make_folder(tmp_path, "living")
    ended, other = make_folder(tmp_path, "ended")
    clear(ended)
    release(ended, other)

    assert sweep(tmp_path, []) == []
    assert living.scratch.is_dir()
    release(living, held)


def test_sweep_gives_back_the_name_of_a_job_that_never_began(tmp_path):
    folder, held = make_folder(tmp_path, "unborn")
    folder.request.write_text("{}")
    os.close(held)

    assert sweep(tmp_path, []) == []
    assert not folder.path.exists()


def test_sweep_gives_back_the_name_of_a_folder_killed_before_its_lock(tmp_path):
    folder = jobs_folder(tmp_path) / "no-lock-yet"
    folder.mkdir(parents=True)

    assert sweep(tmp_path, []) == []
    assert not folder.exists()


def test_sweep_of_a_job_killed_after_its_end_keeps_its_status(tmp_path):
    folder = dead_job(tmp_path, "late", with_record=False)
    record_at(tmp_path, folder.record, "late").enter("Completed", status=COMPLETED)
    folder.record.unlink()  # the file comes after the database

    assert sweep(tmp_path, []) == []
    assert json.loads(folder.record.read_text())["TrainingJobStatus"] == "Completed"
    assert not folder.scratch.exists()


def test_sweep_without_any_jobs_makes_nothing(tmp_path):
    assert sweep(tmp_path / "none", []) == []
    assert not (tmp_path / "none").exists()


def test_folder_of_a_job_has_the_documented_names(tmp_path):
    folder = JobFolder(path=tmp_path)
    assert [path.name for path in (folder.request, folder.record, folder.log("algo-1"))] == [
        "request.json",
        "job.json",
        "algo-1.log",
    ]


def test_full_disk_is_the_users_to_mend_and_needs_no_traceback(tmp_path):
    notes: list[str] = []
    job = SimpleNamespace(folder=SimpleNamespace(path=tmp_path), _listener=SimpleNamespace(note=notes.append))
    full = OSError(errno.ENOSPC, "No space left on device")

    assert Job._explain(job, full) == (
        f"ClientError: The disk is full under {tmp_path} (No space left on device); "
        "make room there, or give another folder as --root."
    )
    assert notes == []
    assert Job._explain(job, ValueError("ours")) == "InternalServerError: ValueError: ours"
    assert len(notes) == 1
