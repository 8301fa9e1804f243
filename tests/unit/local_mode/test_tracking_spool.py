"""What is written down of jobs: whole lines only, bounded, and taken up where the last sender left it."""

import json
import os

import pytest

from local_mode.tracking.spool import Entry, Lines, Sent, entries, place


@pytest.fixture
def lines(tmp_path):
    made = Lines(place(tmp_path, "job", 12.5))
    yield made
    made.close()


def test_lines_are_read_from_where_the_last_reading_ended(lines, tmp_path):
    for number in range(3):
        lines.add({"number": number})
    (entry,) = entries(tmp_path)
    found, offset = entry.read(0)
    lines.add({"number": 3})

    assert found == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert entry.read(offset)[0] == [{"number": 3}]
    assert (entry.job, entry.created) == ("job", "12500")


def test_half_a_line_is_left_until_the_rest_of_it_is_there(lines, tmp_path):
    lines.add({"a": 1})
    with lines.path.open("ab") as file:
        file.write(b'{"b": ')
    (entry,) = entries(tmp_path)
    found, offset = entry.read(0)
    with lines.path.open("ab") as file:
        file.write(b"2}\n")

    assert found == [{"a": 1}]
    assert entry.read(offset)[0] == [{"b": 2}]


def test_line_that_a_killed_writer_left_open_does_not_stop_the_reader(lines, tmp_path):
    lines.path.parent.mkdir()
    lines.path.write_bytes(b'{"cut": \n[1]\n{"whole": 1}\n')

    assert entries(tmp_path)[0].read(0)[0] == [{"whole": 1}]


def test_lines_beyond_the_limit_are_dropped_and_this_is_told(tmp_path):
    lines = Lines(place(tmp_path, "job", 1), most=100)
    for number in range(100):
        lines.add({"number": number})
    lines.close()

    assert lines.is_full
    assert lines.path.stat().st_size <= 100


def test_lines_that_the_disk_does_not_take_go_with_a_later_one(tmp_path, monkeypatch):
    lines, write = Lines(place(tmp_path, "job", 1)), os.write

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    lines.add({"number": 1})
    assert "No space left" in lines.problem
    monkeypatch.setattr(os, "write", write)
    lines.add({"number": 2})
    lines.close()

    assert lines.problem == ""
    assert entries(tmp_path)[0].read(0)[0] == [{"number": 1}, {"number": 2}]


def test_line_that_was_cut_by_a_full_disk_is_completed_by_the_next_write(tmp_path, monkeypatch):
    lines, write, room = Lines(place(tmp_path, "job", 1)), os.write, [5]

    def cut(descriptor, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        done = write(descriptor, data[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr(os, "write", cut)
    lines.add({"number": 1})
    room[0] = 1000
    lines.add({"number": 2})
    lines.close()

    assert entries(tmp_path)[0].read(0)[0] == [{"number": 1}, {"number": 2}]


def test_state_of_a_job_is_kept_and_removed_with_its_lines(lines, tmp_path):
    lines.add({"a": 1})
    (entry,) = entries(tmp_path)
    assert entry.sent == Sent()
    entry.keep(Sent(uri="u", run="r", offset=7))

    assert Entry(lines.path).sent == Sent(uri="u", run="r", offset=7)
    entry.remove()
    assert list(lines.path.parent.iterdir()) == []


def test_damaged_state_is_as_good_as_none(lines, tmp_path):
    lines.add({"a": 1})
    lines.path.with_suffix(".json").write_text(json.dumps({"unknown": 1}))

    assert entries(tmp_path)[0].sent == Sent()


def test_entries_come_oldest_first_whatever_their_names(tmp_path):
    for name, created in (("b", 1), ("a", 20), ("c", 3)):
        lines = Lines(place(tmp_path, name, created))
        lines.add({})
        lines.close()

    assert [entry.job for entry in entries(tmp_path)] == ["b", "c", "a"]
