"""`make clean-aws` against an endpoint: what the project's verbs made goes, and nothing else; nothing unasked."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cleaning import mark
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually
from tests.contract.tuning import ended, tuning_request
from tests.e2e.conftest import ROOT
from tests.e2e.test_sdk import exported

SECONDS = 120
OURS = [mark.tag(mark.SUBMIT)]
DATA = {"train": f"s3://{BUCKET}/data/train"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server.start(tmp_path, "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


def clean(server: Server, *options: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "clean_aws.py"), *options]
    caller = {**exported(server), "PATH": "/usr/bin:/bin", "HOME": str(server.root)}
    return subprocess.run(
        command, env=caller, stdin=stdin, capture_output=True, text=True, check=False, timeout=SECONDS
    )


def keys(server: Server) -> set[str]:
    """All objects there are."""
    return {item["Key"] for item in server.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def jobs(server: Server) -> set[str]:
    """All training jobs there are."""
    return {job["TrainingJobName"] for job in server.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]}


def fill(server: Server) -> None:
    """Ours and others', side by side."""
    s3, sagemaker, ecr = (server.client(name) for name in ("s3", "sagemaker", "ecr"))
    s3.put_object(Bucket=BUCKET, Key="data/train/uploaded", Body=b"1", Tagging=mark.header(mark.SUBMIT))
    s3.put_object(Bucket=BUCKET, Key="data/train/theirs", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="out/ours/notes.txt", Body=b"1")
    checkpoints = {"S3Uri": f"s3://{BUCKET}/out/ours/checkpoints/"}
    shared = {"S3Uri": f"s3://{BUCKET}/shared/"}
    s3.put_object(Bucket=BUCKET, Key="shared/checkpoint", Body=b"1")
    server.create("ours", ["tell"], channels=DATA, mode="File", Tags=OURS, CheckpointConfig=checkpoints)
    server.create("ours-too", ["tell"], Tags=OURS, CheckpointConfig=shared)
    server.create("theirs", ["tell"], Tags=[{"Key": "other", "Value": mark.SUBMIT}])
    for name in ("ours", "ours-too", "theirs"):
        assert server.ended(name)["TrainingJobStatus"] == "Completed"
    sagemaker.create_hyper_parameter_tuning_job(**tuning_request("tune", jobs=1, parallel=1, Tags=OURS))
    assert ended(server, "tune")["HyperParameterTuningJobStatus"] == "Completed"
    ecr.create_repository(repositoryName="ours", tags=[mark.tag(mark.PUSH)])
    ecr.create_repository(repositoryName="theirs")


def test_what_verbs_made_is_listed_and_deleted_and_nothing_else(server: Server):
    fill(server)
    refused = clean(server)
    assert refused.returncode == 1
    assert "nobody can be asked; say so: YES=1" in refused.stderr
    assert jobs(server) >= {"ours", "ours-too", "theirs"}
    assert "  training job ours\n" in refused.stdout
    assert f"  object s3://{BUCKET}/data/train/uploaded, 1 bytes\n" in refused.stdout
    assert "theirs" not in refused.stdout

    done = clean(server, "--yes")
    assert (done.returncode, done.stderr.splitlines()[-1].split()[0]) == (0, "deleted:"), done.stderr
    assert jobs(server) == {"theirs"}
    left = keys(server)
    assert {"data/train/theirs", "shared/checkpoint", "out/ours/notes.txt"} <= left
    assert {key for key in left if key.startswith("out/")} == {"out/ours/notes.txt"} | {
        key for key in left if key.startswith("out/theirs/")
    }
    assert any(key.startswith("out/theirs/output/") for key in left)
    assert "data/train/uploaded" not in left
    assert server.client("sagemaker").list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
    repositories = server.client("ecr").describe_repositories()["repositories"]
    assert [each["repositoryName"] for each in repositories] == ["theirs"]

    again = clean(server)
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing of this project's verbs is in the endpoint at " in again.stdout


def test_who_says_no_keeps_everything_and_who_says_yes_is_taken_at_their_word(server: Server):
    server.create("ours", ["tell"], Tags=OURS)
    server.ended("ours")
    for word, left in ((b"n\n", {"ours"}), (b"\n", {"ours"}), (b"y\n", set())):
        terminal, inside = pty.openpty()
        try:
            os.write(terminal, word)
            done = clean(server, stdin=inside)
        finally:
            os.close(terminal)
            os.close(inside)
        assert jobs(server) == left
        assert ("nothing was deleted, as you said" in done.stderr) == bool(left)
        assert "Delete these " in done.stderr


def test_job_that_still_runs_stays_with_its_data_and_this_is_told(server: Server):
    s3 = server.client("s3")
    s3.put_object(Bucket=BUCKET, Key="data/train/a", Body=b"1", Tagging=mark.header(mark.SUBMIT))
    server.create("over", ["tell"], channels={"train": f"s3://{BUCKET}/data"}, mode="File", Tags=OURS)
    server.ended("over")
    server.create("going", ["wait_for_stop"], channels=DATA, mode="File", Tags=OURS)
    eventually(lambda: server.describe("going")["SecondaryStatus"] == "Training")
    done = clean(server, "--yes")

    assert "stays: training job going is InProgress: stop it first" in done.stdout
    assert jobs(server) == {"going"}
    assert "data/train/a" in keys(server)
    server.client("sagemaker").stop_training_job(TrainingJobName="going")
    server.ended("going")
    assert clean(server, "--yes").returncode == 0
    assert "data/train/a" not in keys(server)
