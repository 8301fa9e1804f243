"""Log streams made again of a job's log files, whatever a kill or a person left of them."""

import pytest

from local_mode.jobs.folder import JobFolder
from local_mode.jobs.log_archive import Archive, keep

NAME = "job/algo-1-1700000000"


@pytest.fixture
def folder(tmp_path):
    made = JobFolder(path=tmp_path / "jobs" / "job")
    made.logs.mkdir(parents=True)
    return made


def events(tmp_path):
    return [
        [(event["timestamp"], event["message"]) for event in stream.events()]
        for stream in Archive(tmp_path).streams("job")
    ]


def test_lines_have_the_times_they_came_at_and_those_no_longer_noted_the_last(tmp_path, folder):
    folder.log("algo-1").write_bytes(b"one\ntwo\nthree\nlost\n")
    keep(folder, "algo-1", [(0, NAME), (0, 1_700_000_000_500)])
    keep(folder, "algo-1", [(8, 1_700_000_001_000)])

    assert events(tmp_path) == [
        [
            (1_700_000_000_500, "one"),
            (1_700_000_000_500, "two"),
            (1_700_000_001_000, "three"),
            (1_700_000_001_000, "lost"),
        ]
    ]


def test_row_that_a_kill_cut_short_is_as_if_it_were_not_there(tmp_path, folder):
    folder.log("algo-1").write_bytes(b"one\ntwo\n")
    keep(folder, "algo-1", [(0, NAME), (0, 1_700_000_000_500)])
    with folder.log("algo-1").with_suffix(".times").open("a") as file:
        file.write("[4, 17000")

    assert events(tmp_path) == [[(1_700_000_000_500, "one"), (1_700_000_000_500, "two")]]


def test_attempts_are_apart_though_the_first_ended_within_a_line(tmp_path, folder):
    folder.log("algo-1").write_bytes(b"firstsecond\n")
    keep(folder, "algo-1", [(0, NAME), (0, 1_700_000_000_500)])
    keep(folder, "algo-1", [(5, "job/algo-1-1700000009"), (5, 1_700_000_009_500)])

    assert events(tmp_path) == [[(1_700_000_000_500, "first")], [(1_700_000_009_500, "second")]]


def test_stream_whose_log_was_removed_is_not_there(tmp_path, folder):
    keep(folder, "algo-1", [(0, NAME)])
    assert Archive(tmp_path).streams("job") == []

    folder.log("algo-1").write_bytes(b"one\n")
    (stream,) = Archive(tmp_path).streams("job")
    folder.log("algo-1").unlink()
    assert stream.events() == []


def test_prefix_of_a_stream_is_one_job_and_another_prefix_is_all_that_begin_so(tmp_path, folder):
    (tmp_path / "jobs" / "jobs-too").mkdir()

    assert list(Archive(tmp_path).jobs("job/algo-1")) == ["job"]
    assert sorted(Archive(tmp_path).jobs("job")) == ["job", "jobs-too"]
    assert sorted(Archive(tmp_path).jobs("")) == ["job", "jobs-too"]
    assert [name for odd in ("../x", "./x", "/x", "..") for name in Archive(tmp_path).jobs(odd)] == []
    assert list(Archive(tmp_path / "nothing").jobs("")) == []
