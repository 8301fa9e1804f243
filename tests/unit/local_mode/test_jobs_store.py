"""The database of jobs: what it keeps, for how many at once, and what it says when it cannot."""

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from local_mode.jobs.store import FORMAT, Query, Store, StoreError
from tests.contract.lab import REPOSITORY


def job(name, created=1.0, status="Completed", **more):
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:{name.lower()}",
        "CreationTime": created,
        "LastModifiedTime": created + 5,
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        **more,
    }


def names(found):
    return [item["TrainingJobName"] for item in found]


def test_record_comes_back_as_it_was_put_and_changes_in_place(tmp_path):
    store = Store(tmp_path)
    store.put(job("a", HyperParameters={"ü": "'; DROP TABLE jobs; --"}))
    store.put(job("a", status="Failed", FailureReason="x"))

    assert Store(tmp_path).get("a") == job("a", status="Failed", FailureReason="x")
    assert store.get("A") is None
    assert names(store.find(Query())) == ["a"]
    store.remove("a")
    assert store.get("a") is None


def test_database_is_for_its_owners_eyes_and_leaves_nothing_else_when_nobody_uses_it(tmp_path):
    Store(tmp_path).put(job("a"))

    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"]
    assert (tmp_path / "jobs.db").stat().st_mode & 0o777 == 0o600


def test_database_that_is_held_is_one_for_others_and_leaves_nothing_else_in_the_end(tmp_path):
    store = Store(tmp_path)
    with store.database.held():
        store.put(job("a"), durable=False)
        with closing(sqlite3.connect(store.path)) as database:
            database.execute("DELETE FROM jobs")
            database.commit()
        assert store.get("a") is None
        store.put(job("b"), durable=False)
        assert (tmp_path / "jobs.db-wal").stat().st_mode & 0o777 == 0o600

    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"]
    assert Store(tmp_path).get("b") == job("b")


def test_holder_that_is_killed_loses_nothing_that_was_put(tmp_path):
    source = f"""
import os, signal
from pathlib import Path
from local_mode.jobs.store import Store
store = Store(Path({str(tmp_path)!r}))
with store.database.held():
    store.put({job("a")!r}, durable=False)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", source], check=False, cwd=REPOSITORY, timeout=30)

    assert Store(tmp_path).get("a") == job("a")


def test_only_what_must_outlive_the_machine_waits_for_the_disk(tmp_path):
    store = Store(tmp_path)
    said = []
    with store.database.held():
        for durable in (True, False):
            with store.database.writing(durable=durable) as database:
                said += database.execute("PRAGMA synchronous").fetchone()

    assert said == [2, 1]  # FULL, NORMAL


def test_damaged_database_is_not_held(tmp_path):
    Store(tmp_path).put(job("a"))
    (tmp_path / "jobs.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="is damaged"), Store(tmp_path).database.held():
        raise AssertionError("held")


def test_query_filters_orders_and_cuts(tmp_path):
    store = Store(tmp_path)
    for number, name in enumerate(["cat", "Ant", "bee", "cow"]):
        store.put(job(name, float(number), "Failed" if name == "bee" else "Completed"))

    assert names(store.find(Query(sort="name", backwards=True))) == ["cow", "cat", "bee", "Ant"]
    assert names(store.find(Query(contains="C", limit=1))) == ["cat"]
    assert names(store.find(Query(contains="%"))) == []
    assert names(store.find(Query(status="Failed"))) == ["bee"]
    assert names(store.find(Query(created=(0.0, 3.0)))) == ["Ant", "bee"]
    assert names(store.find(Query(modified=(6.0, math.inf)))) == ["bee", "cow"]
    assert names(store.find(Query(sort="status", after=("Completed", "cat")))) == ["cow", "bee"]
    assert names(store.find(Query(arn="arn:ant"))) == ["Ant"]
    assert store.count(Query(contains="c", status="Failed")) == {"Completed": 2}


def test_lists_never_touch_the_documents(tmp_path):
    store = Store(tmp_path)
    store.put(job("a"))
    with closing(sqlite3.connect(store.path)) as database:
        for sort, order in (("created", "created, name"), ("name", "name"), ("status", "status, name")):
            columns = "name, arn, created, modified, ended, status, secondary"
            query = f"EXPLAIN QUERY PLAN SELECT {columns} FROM jobs ORDER BY {order}"
            plan = " ".join(row[-1] for row in database.execute(query))
            assert f"USING COVERING INDEX by_{sort}" in plan
            assert "TEMP B-TREE" not in plan


def test_folder_from_before_the_database_is_taken_over(tmp_path):
    for name in ("old", "older"):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        (tmp_path / "jobs" / name / "job.json").write_text(json.dumps(job(name)))
    (tmp_path / "jobs" / "unborn").mkdir()
    (tmp_path / "jobs" / "half").mkdir()
    (tmp_path / "jobs" / "half" / "job.json").write_text('{"TrainingJobName": "ha')
    (tmp_path / "jobs" / "other").mkdir()
    (tmp_path / "jobs" / "other" / "job.json").write_text(json.dumps(job("another")))
    (tmp_path / ".jobs.db.part").write_text("of one who was killed")

    assert names(Store(tmp_path).find(Query(sort="name"))) == ["old", "older"]
    assert Store(tmp_path).get("old") == job("old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs", "jobs.db"]


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b""])
def test_what_is_no_database_is_told_with_a_way_out(tmp_path, content):
    store = Store(tmp_path)
    (tmp_path / "jobs" / "old").mkdir(parents=True)
    (tmp_path / "jobs" / "old" / "job.json").write_text(json.dumps(job("old")))
    store.path.write_bytes(content)

    for act in (lambda: store.get("a"), lambda: store.put(job("a")), store.check):
        with pytest.raises(StoreError, match=r"jobs\.db is damaged \(.*\)\. End every .* and move jobs\.db\* away"):
            act()
    store.path.unlink()
    assert names(store.find(Query())) == ["old"]


def test_page_that_was_overwritten_is_found_by_the_check(tmp_path):
    store = Store(tmp_path)
    for number in range(200):
        store.put(job(f"job-{number}", HyperParameters={"x": "y" * 500}))
    with store.path.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(os.urandom(4096))

    with pytest.raises(StoreError, match="is damaged"):
        store.check()


def test_database_of_a_newer_version_is_left_alone(tmp_path):
    store = Store(tmp_path)
    store.put(job("a"))
    with closing(sqlite3.connect(store.path)) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")

    text = f"is of format {FORMAT + 1}, written by a newer local_mode; this one reads up to {FORMAT}. Install"
    with pytest.raises(StoreError, match=text):
        store.put(job("b"))


def test_database_of_before_tuning_jobs_is_brought_up_with_its_jobs_in_it(tmp_path):
    store = Store(tmp_path)
    store.put(job("a"))
    with closing(sqlite3.connect(store.path)) as database:
        for table in ("tuning_jobs", "trials", "entities", "associations"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")

    assert store.get("a") == job("a")
    with closing(sqlite3.connect(store.path)) as database:
        assert database.execute("SELECT count(*) FROM tuning_jobs, trials, entities").fetchone() == (0,)
        assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)


def test_folder_that_cannot_be_written_is_the_users_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"Cannot write to .*/file/jobs\.db: .*; give another folder in --root"):
        Store(tmp_path / "file").get("a")


WRITER = """
import sys
from local_mode.jobs.store import Store
from tests.unit.local_mode.test_jobs_store import job
from pathlib import Path
for number in range(50):
    Store(Path(sys.argv[1])).put(job(f"{sys.argv[2]}-{number}"))
"""


def test_processes_and_threads_write_at_once_and_nothing_is_lost(tmp_path):
    argv = [sys.executable, "-c", WRITER, str(tmp_path)]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/containers/common:{':'.join(sys.path)}"}
    processes = [subprocess.Popen([*argv, f"process{number}"], env=environment) for number in range(2)]
    store, failed = Store(tmp_path), []

    def write(name):
        try:
            for number in range(50):
                store.put(job(f"{name}-{number}"))
                assert store.get(f"{name}-{number}")
        except (StoreError, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"thread{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [process.wait(60) for process in processes] == [0, 0]
    assert failed == []
    assert len(store.find(Query())) == 300


def test_many_who_come_first_make_one_database(tmp_path):
    (tmp_path / "jobs" / "old").mkdir(parents=True)
    (tmp_path / "jobs" / "old" / "job.json").write_text(json.dumps(job("old")))
    gate, found = threading.Barrier(8), []

    def ask():
        gate.wait(10)
        found.append(names(Store(tmp_path).find(Query())))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [["old"]] * 8
