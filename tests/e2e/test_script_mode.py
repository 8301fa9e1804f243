"""A script of one's own, its code fetched from the embedded S3 in the container, or brought as channels (SDK v3)."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from local_mode.runners import bubblewrap
from tests.containers import miss
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import IMAGE
from tests.e2e.test_sdk import answer, program, typed

SCRIPT = """
import argparse, os, pathlib, sys
import boto3
import beside
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
print(f"epochs={parser.parse_args().epochs} beside={beside.VALUE}", flush=True)
s3 = boto3.client("s3", region_name=os.environ["AWS_REGION"])
try:
    s3.list_buckets()
except s3.exceptions.ClientError as error:
    print(error.response["Error"]["Code"], flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "weights").write_text("trained")
"""


@pytest.fixture
def server(tmp_path: Path, pytorch_image: str):
    made = Server.start(tmp_path, runtime="docker")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0  # killed, it would leave the container of a job whose end it has just told
    assert "Traceback" not in made.log.read_text()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "beside.py").write_text("VALUE = 'found'\n")
    return folder


def weights(server: Server, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data = server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = archive.extractfile("weights")
        assert found is not None
        return found.read()


def test_container_fetches_its_code_from_the_embedded_s3(server: Server, source: Path, pytorch_image: str):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(source, arcname=".")
    server.client("s3").put_object(Bucket=BUCKET, Key="job/source/sourcedir.tar.gz", Body=packed.getvalue())
    parameters = {
        "sagemaker_program": json.dumps("train.py"),
        "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/job/source/sourcedir.tar.gz"),
        "epochs": "2",
    }
    server.create("script", [], mode="File", HyperParameters=parameters, algorithm={"TrainingImage": pytorch_image})
    described = server.ended("script")

    lines = server.log_lines("script")
    assert described["TrainingJobStatus"] == "Completed", (described.get("FailureReason"), lines)
    assert "epochs=2 beside=found" in lines
    assert "AccessDenied" in lines
    assert weights(server, described["ModelArtifacts"]["S3ModelArtifacts"]) == b"trained"


def test_estimator_of_sdk_v2_runs_a_script(server: Server, source: Path, pytorch_image: str, tmp_path: Path):
    said = typed(server, tmp_path, *program("v2", "v2_script.py", pytorch_image, str(source)))

    ended = answer(said)
    assert ended["status"] == "Completed"
    assert "epochs=2 beside=found" in said
    assert weights(server, ended["model"]) == b"trained"


PLAIN_SCRIPT = """
import argparse, os, pathlib
import beside
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
print(f"epochs={parser.parse_args().epochs} beside={beside.VALUE} image={os.environ.get('FROM_IMAGE')}", flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "weights").write_text("trained")
"""
"""For SDK v3, whose drivers need no package in the image."""


@pytest.fixture(params=["docker", "process"])
def any_server(request: pytest.FixtureRequest, tmp_path: Path):
    """An endpoint, and an image that it can run."""
    if request.param == "process" and (reason := bubblewrap.why_not()):
        miss(f"{reason}, and the drivers of SDK v3 name /opt/ml itself")
    image = request.getfixturevalue("pytorch_image") if request.param == "docker" else IMAGE
    made = Server.start(tmp_path, runtime=request.param)
    yield made, image
    assert made.end() == 0  # killed, it would leave the container of a job whose end it has just told
    assert "Traceback" not in made.log.read_text()


def test_model_trainer_of_sdk_v3_runs_a_script(any_server: tuple[Server, str], source: Path, tmp_path: Path):
    server, image = any_server
    (source / "train.py").write_text(PLAIN_SCRIPT)
    ended = answer(typed(server, tmp_path, *program("v3", "v3_script.py", image, str(source))))

    assert ended["status"] == "Completed"
    assert f"epochs=2 beside=found image={'yes' if image == IMAGE else None}" in server.log_lines(ended["name"])
    assert weights(server, ended["model"]) == b"trained"
