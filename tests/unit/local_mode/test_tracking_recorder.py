"""The recorder: begins with the job, numbers points, and says once what cannot be written."""

import pytest

from local_mode.jobs.store import Store
from local_mode.tracking import recorder as module
from local_mode.tracking.recorder import Recorder
from local_mode.tracking.spool import Lines, entries
from tests.unit.local_mode.test_tracking_sender import record


@pytest.fixture
def notes():
    return []


@pytest.fixture
def recorder(tmp_path, notes):
    Store(tmp_path).put(record())
    made = Recorder(tmp_path, "job", notes.append, lambda _: None)
    yield made
    made.status("Completed", "")


def lines(root):
    (entry,) = entries(root)
    return entry.read(0)[0]


def test_points_are_numbered_metric_by_metric(recorder, tmp_path):
    recorder.status("Starting", "")
    recorder.metric("a", 1.0, 5.0)
    recorder.metric("b", 2.0, 5.0)
    recorder.metric("a", 3.0, 6.0)

    found = [(line["metric"], line["step"]) for line in lines(tmp_path) if "metric" in line]
    assert found == [("a", 1), ("b", 1), ("a", 2)]


def test_next_attempt_of_a_job_goes_on_in_the_same_lines(recorder, tmp_path):
    recorder.status("Starting", "")
    recorder.metric("a", 1.0, 5.0)
    recorder.status("Interrupted", "")
    recorder.status("Starting", "")
    recorder.metric("a", 2.0, 6.0)

    assert [line.get("step") for line in lines(tmp_path)] == [None, 1, 2]


def test_point_after_the_end_is_dropped(recorder, tmp_path):
    recorder.status("Starting", "")
    recorder.status("Stopped", "")
    recorder.metric("a", 1.0, 5.0)

    assert recorder.has_ended
    assert [line for line in lines(tmp_path) if "metric" in line] == []


def test_job_that_never_began_leaves_nothing(tmp_path, notes):
    recorder = Recorder(tmp_path, "none", notes.append, lambda _: None)
    recorder.metric("a", 1.0, 5.0)
    recorder.status("Failed", "")

    assert (entries(tmp_path), notes) == ([], [])


def test_lines_that_cannot_be_written_are_told_of_once(recorder, tmp_path, notes):
    (tmp_path / "tracking").write_text("in the way")
    recorder.status("Starting", "")
    recorder.metric("a", 1.0, 5.0)

    (note,) = notes
    assert note.startswith("job: not all of it will be in MLflow: cannot write ")
    assert note.endswith("; the job goes on")


def test_limit_of_lines_is_told_of_once(recorder, tmp_path, notes, monkeypatch):
    monkeypatch.setattr(module, "Lines", lambda path: Lines(path, most=80))
    recorder.status("Starting", "")
    for at in range(5):
        recorder.metric("a", 1.0, float(at))

    assert notes == ["job: not all of it will be in MLflow: its lines have reached their limit; the job goes on"]
