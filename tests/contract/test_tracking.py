"""Jobs as runs of MLflow: a job neither waits for it nor fails by it, and nothing that it reported is lost."""

import contextlib
import io
import json
import os
import re
import socket
import sqlite3
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from local_mode.tracking.service import local_store
from local_mode.tracking.spool import Parents, entries
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import document, eventually, launch
from tests.contract.tuning import SCORE, create, ended

SENT_SECONDS = 60


@pytest.fixture
def start(tmp_path):
    """Starts an endpoint that tracks, and sees that it was well to its end."""
    made = []

    def start_one(uri="", *options):
        made.append(Server.start(tmp_path, "--track", uri, "--stop-grace", "5", *options))
        s3 = made[-1].client("s3")
        if not s3.list_buckets()["Buckets"]:
            s3.create_bucket(Bucket=BUCKET)
        return made[-1]

    yield start_one
    for server in made:
        assert server.end() in (0, -9)
        assert "Traceback" not in server.log.read_text()


def runs_of(server, seconds=SENT_SECONDS):
    """Runs by name, as they are in the store once all is sent."""
    eventually(lambda: not entries(server.root) and not Parents(server.root, local_store(server.root)), seconds)
    return stored(server.root)


def stored(root):
    """Runs by name, as they are in the store of a root folder."""
    with contextlib.closing(sqlite3.connect(root / "mlflow" / "mlflow.db")) as store:
        found = {}
        for run, *shown in store.execute(
            "SELECT run_uuid, runs.name, status, experiments.name FROM runs JOIN experiments USING (experiment_id)"
        ).fetchall():
            pairs = {
                table: dict(store.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", (run,)).fetchall())
                for table in ("params", "tags")
            }
            points = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY key, step"
            metrics = {}
            for key, step, value in store.execute(points, (run,)):
                metrics.setdefault(key, []).append([step, value])
            name, status, experiment = shown
            found[name] = {"id": run, "status": status, "experiment": experiment, "metrics": metrics, **pairs}
        return found


def tracked(server):
    """What was said of tracking."""
    return re.findall(r"tracking: (.*)", server.log.read_text())


def test_every_job_is_a_run_and_those_of_a_tuning_job_are_nested(start):
    server = start()
    server.client("s3").put_object(Bucket=BUCKET, Key="in/a", Body=b"12345")
    config = {"ExperimentName": "mine", "TrialName": "first"}
    server.client("sagemaker").create_experiment(ExperimentName="mine")
    server.client("sagemaker").create_trial(TrialName="first", ExperimentName="mine")
    server.create("good", ["learn", 3], algorithm={"MetricDefinitions": SCORE}, ExperimentConfig=config,
                  channels={"train": f"s3://{BUCKET}/in"}, mode="File")  # fmt: skip
    server.create("bad", ["fail", 3, "why"])
    server.ended("good")
    reason = server.ended("bad")["FailureReason"]
    create(server, "tune", jobs=2, parallel=2)
    best = ended(server, "tune")["BestTrainingJob"]["TrainingJobName"]
    found = runs_of(server)

    good = found["good"]
    assert (good["status"], good["experiment"]) == ("FINISHED", "mine")
    assert json.loads(good["params"]["act"]) == ["learn", 3]
    assert [step for step, _ in good["metrics"]["score"]] == [1, 2, 3]
    assert good["tags"]["sagemaker.data.train"].startswith("1 objects, 5 bytes, sha256 ")
    assert good["tags"]["sagemaker.model"] == f"s3://{BUCKET}/out/good/output/model.tar.gz"
    assert (found["bad"]["status"], found["bad"]["tags"]["sagemaker.failure_reason"]) == ("FAILED", reason)
    children = [run for name, run in found.items() if name.startswith("tune-")]
    assert [run["tags"]["mlflow.parentRunId"] for run in children] == [found["tune"]["id"]] * 2
    assert found["tune"]["tags"]["sagemaker.best_training_job"] == best
    assert tracked(server) == []


def test_server_that_is_not_reached_costs_a_job_nothing_and_gets_everything_when_it_answers(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = start(f"http://127.0.0.1:{port}")
    server.create("alone", ["learn", 3], algorithm={"MetricDefinitions": SCORE})
    assert server.ended("alone")["TrainingJobStatus"] == "Completed"
    eventually(lambda: tracked(server), SENT_SECONDS)
    server.create("second", ["look"])
    assert server.ended("second")["TrainingJobStatus"] == "Completed"
    told = json.loads(report(server, "second"))["environment"]
    assert told["MLFLOW_TRACKING_URI"] == f"http://127.0.0.1:{port}"
    assert server.end() == 0
    (warning,) = tracked(server)
    assert warning.startswith(f"MLflow at http://127.0.0.1:{port} does not take what jobs report")
    assert {entry.job for entry in entries(server.root)} == {"alone", "second"}

    again = start()  # of the same root, to a store that takes it
    assert runs_of(again)["alone"]["metrics"]["score"] == [[1, 0.266667], [2, 0.533333], [3, 0.8]]
    assert runs_of(again)["second"]["status"] == "FINISHED"


def test_job_of_the_command_line_is_sent_before_the_command_ends(tmp_path):
    request = document("typed", ["learn", 2], tmp_path, algorithm={"MetricDefinitions": SCORE})
    process = launch("bubblewrap", tmp_path, request, "--track")
    _, said = process.communicate(timeout=SENT_SECONDS)
    assert process.returncode == 0, said

    assert entries(tmp_path / "root") == [], said
    assert stored(tmp_path / "root")["typed"]["metrics"]["score"] == [[1, 0.4], [2, 0.8]]


@pytest.mark.drill
def test_service_that_is_killed_leaves_its_job_to_the_next_ones_sender(start):
    server = start()
    server.create("cut", ["metrics_then_wait"], algorithm={"MetricDefinitions": SCORE})
    eventually(lambda: server.describe("cut")["SecondaryStatus"] == "Training")
    server.process.kill()
    server.process.wait(20)
    again = start()
    found = runs_of(again)

    assert found["cut"]["status"] == "FAILED"
    assert "killed" in found["cut"]["tags"]["sagemaker.failure_reason"]


@pytest.mark.drill
def test_server_that_hangs_holds_up_neither_a_job_nor_the_end_of_the_endpoint(start):
    class Hanging(BaseHTTPRequestHandler):
        def handle(self):
            over.wait(SENT_SECONDS)

    over = threading.Event()
    http = HTTPServer(("127.0.0.1", 0), Hanging)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        server = start(f"http://127.0.0.1:{http.server_port}")
        server.create("patient", ["learn", 3], algorithm={"MetricDefinitions": SCORE})
        assert server.ended("patient")["TrainingJobStatus"] == "Completed"
        assert server.end() == 0
        assert [entry.job for entry in entries(server.root)] == ["patient"]
    finally:
        over.set()
        http.shutdown()
        http.server_close()


@pytest.mark.drill
def test_full_disk_of_mlflow_is_one_warning_and_what_was_kept_is_sent_when_there_is_room(start, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "root" / "mlflow"
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", str(folder)], capture_output=True,
                             text=True, check=False, timeout=20)  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        server = start()
        server.create("kept", ["learn", 3], algorithm={"MetricDefinitions": SCORE})
        assert server.ended("kept")["TrainingJobStatus"] == "Completed"
        eventually(lambda: tracked(server), SENT_SECONDS)
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True, timeout=20)
        found = runs_of(server)
        assert found["kept"]["metrics"]["score"] == [[1, 0.266667], [2, 0.533333], [3, 0.8]]
        eventually(lambda: len(tracked(server)) == 2)
        warning, news = tracked(server)
        assert "does not take what jobs report" in warning
        assert "answers again" in news
        assert server.end() == 0
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20)


def report(server, name):
    """What the suite's program wrote of its surroundings."""
    body = server.client("s3").get_object(Bucket=BUCKET, Key=f"out/{name}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return archive.extractfile("report.json").read()
