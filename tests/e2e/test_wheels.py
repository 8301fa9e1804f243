"""local_mode as a library: installed from its wheels, outside this repository, in somebody else's project."""

import io
import json
import re
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = "debian:trixie-slim"
INSTALL_SECONDS = 300
RUN_SECONDS = 120
UP_SECONDS = 5
"""An endpoint is up in about 1 s; a machine that runs other tests meanwhile takes longer."""
TRAIN = b"""#!/bin/sh
set -e
cat /opt/ml/input/data/train/*.txt > /opt/ml/model/joined.txt
echo "bytes=$(wc -c < /opt/ml/model/joined.txt)"
echo "hyperparameters: $(cat /opt/ml/input/config/hyperparameters.json)"
"""
PROJECT = {
    "conftest.py": """
import sys
import pytest
from local_mode.pytest_plugin import Options

@pytest.fixture(scope="session")
def local_sagemaker_options():
    train = {"interpreter": sys.executable, "python_path": ["."], "train": ["-m", "train"]}
    return Options(runtime="process", stand_ins={"team/image:1": train}, region="eu-west-3")
""",
    "train.py": """
import os, pathlib
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
text = (base / "input/data/train/a.txt").read_text()
(base / "model/upper.txt").write_text(text.upper())
print(f"letters={len(text)};")
""",
    "test_training.py": """
import io, json, os, subprocess, sys, tarfile
import boto3, pytest
from botocore.exceptions import ClientError

REQUEST = dict(
    TrainingJobName="a-job", RoleArn="arn:aws:iam::123456789012:role/any",
    AlgorithmSpecification=dict(TrainingImage="team/image:1", TrainingInputMode="File",
                                MetricDefinitions=[dict(Name="letters", Regex="letters=([0-9]+);")]),
    InputDataConfig=[dict(ChannelName="train", DataSource=dict(S3DataSource=dict(
        S3DataType="S3Prefix", S3Uri="s3://data/train/")))],
    OutputDataConfig=dict(S3OutputPath="s3://data/out"),
    ResourceConfig=dict(InstanceType="ml.m5.large", InstanceCount=1, VolumeSizeInGB=1),
    StoppingCondition=dict(MaxRuntimeInSeconds=60),
)

def test_job(local_sagemaker):
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.create_bucket(Bucket="data", CreateBucketConfiguration=dict(LocationConstraint="eu-west-3"))
    s3.put_object(Bucket="data", Key="train/a.txt", Body=b"abc")
    sagemaker.create_training_job(**REQUEST)
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="a-job", WaiterConfig=dict(Delay=1, MaxAttempts=60))
    job = sagemaker.describe_training_job(TrainingJobName="a-job")
    assert job["TrainingJobStatus"] == "Completed", local_sagemaker.log()
    assert ":eu-west-3:" in job["TrainingJobArn"] and local_sagemaker.region == "eu-west-3"
    assert job["FinalMetricDataList"][0]["Value"] == 3
    assert "letters=3;" in local_sagemaker.log("a-job")
    packed = s3.get_object(Bucket="data", Key="out/a-job/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.extractfile("upper.txt").read() == b"ABC"

def test_next_one_is_empty_and_whoever_pins_aws_own_name_gets_here(local_sagemaker):
    assert boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    sts = boto3.client("sts", endpoint_url="https://sts.amazonaws.com")
    assert sts.get_caller_identity()["Account"] == "123456789012"

def test_error_is_the_one_of_aws(local_sagemaker):
    with pytest.raises(ClientError, match="Requested resource not found"):
        boto3.client("sagemaker").describe_training_job(TrainingJobName="none")

def test_environment_is_as_before():
    assert not [name for name in os.environ if name.startswith("AWS_") or name.upper() == "HTTPS_PROXY"]
    assert boto3.DEFAULT_SESSION is None
""",
    "test_running.py": """
def test_job_that_runs_when_its_test_ends(local_sagemaker, tmp_path_factory):
    import boto3
    from test_training import REQUEST
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="data", CreateBucketConfiguration=dict(LocationConstraint="eu-west-3"))
    s3.put_object(Bucket="data", Key="train/a.txt", Body=b"x")
    boto3.client("sagemaker").create_training_job(**REQUEST)
""",
    "pytest.ini": "[pytest]\nfilterwarnings = error\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the two wheels, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("library")
    made = ["make", "-o", "host", "wheel", f"VENV={Path(sys.executable).parent}", f"DIST={folder / 'dist'}"]
    subprocess.run(made, cwd=ROOT, check=True, timeout=INSTALL_SECONDS, capture_output=True)
    wheels = {path.name.partition("-")[0]: path for path in (folder / "dist").iterdir()}
    assert set(wheels) == {"local_mode", "trainjob"}
    versions = folder / "versions.txt"
    lock = (ROOT / "requirements" / "test.lock").read_text()
    versions.write_text("\n".join(re.findall(r"^[\w\-]+==[^\s;]+(?: ;[^\\\n]*)?", lock, re.MULTILINE)))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=INSTALL_SECONDS)
    programs = folder / "venv" / "bin"
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = [str(wheels["trainjob"]), f"{wheels['local_mode']}[serve]", "pytest", "--constraint", str(versions)]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, done.stderr
    return programs


def environment(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def processes_in(folder: Path) -> list[str]:
    """Command lines that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text)
    return found


def test_project_of_others_uses_the_fixture(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    project, scratch = tmp_path / "project", tmp_path / "scratch"
    project.mkdir()
    for name, text in PROJECT.items():
        (project / name).write_text(text)
    command = [installed / "pytest", "-q", "-p", "no:cacheprovider", "--durations=0", "-vv", f"--basetemp={scratch}"]
    done = subprocess.run(
        command, cwd=project, env=environment(tmp_path), capture_output=True, text=True, check=False,
        timeout=RUN_SECONDS,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    setups = [float(seconds) for seconds in re.findall(r"^([0-9.]+)s setup ", done.stdout, re.MULTILINE)]
    with capsys.disabled():
        print(f"\nendpoint of a test up in {', '.join(f'{seconds:.2f}' for seconds in sorted(setups)[-4:])} s")
    assert max(setups) <= UP_SECONDS
    assert processes_in(scratch) == []


def test_plugin_is_light_until_the_fixture_is_used(installed: Path, tmp_path: Path):
    heavy = "{'moto', 'boto3', 'botocore', 'werkzeug', 'flask', 'docker', 'cryptography', 'numpy'}"
    code = f"import local_mode.pytest_plugin, sys; assert not {heavy} & set(sys.modules)"
    subprocess.run([installed / "python", "-c", code], cwd=tmp_path, env=environment(tmp_path), check=True, timeout=60)


def test_endpoint_ends_with_a_test_session_that_is_killed(installed: Path, tmp_path: Path):
    (tmp_path / "test_kill.py").write_text(
        "import os, signal\ndef test_kill(local_sagemaker):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [installed / "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'scratch'}", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False, timeout=RUN_SECONDS
    )

    assert done.returncode == -9
    log = tmp_path / "scratch" / "local_sagemaker0" / "endpoint.log"
    from tests.contract.lab import eventually  # noqa: PLC0415 - brings docker

    eventually(lambda: "ended" in log.read_text() and not processes_in(tmp_path / "scratch"))


@pytest.fixture
def shell_image(docker_client):
    """A Debian with five lines of shell that are called `train`."""
    if not docker_client.images.list(BASE):
        from tests.containers import miss  # noqa: PLC0415

        miss(f"the engine has no image {BASE}; .ci/docker_engine provides it")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("usr/local/bin/train")
        member.size, member.mode = len(TRAIN), 0o755
        archive.addfile(member, io.BytesIO(TRAIN))
    container = docker_client.containers.create(BASE, ["true"])
    tag = f"local-mode-seam:{uuid.uuid4().hex[:12]}"
    try:
        container.put_archive("/", buffer.getvalue())
        container.commit(*tag.split(":"))
    finally:
        container.remove(force=True, v=True)
    yield tag
    docker_client.images.remove(tag, force=True)


def test_image_of_five_lines_of_shell_runs_from_the_wheels_alone(installed: Path, tmp_path: Path, shell_image: str):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("alpha ")
    (data / "b.txt").write_text("beta")
    request = {
        "TrainingJobName": "seam",
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "AlgorithmSpecification": {
            "TrainingImage": shell_image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "bytes", "Regex": "bytes=([0-9]+)"}],
        },
        "HyperParameters": {"depth": "3"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{data}/"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": str(tmp_path / "out")},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    command = [installed / "local-mode", "train", "request.json", "--runtime", "docker", "--root", "state"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False,
        timeout=RUN_SECONDS,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    job = tmp_path / "state" / "jobs" / "seam"
    record = json.loads((job / "job.json").read_text())
    assert record["TrainingJobStatus"] == "Completed"
    assert {item["MetricName"]: item["Value"] for item in record["FinalMetricDataList"]} == {"bytes": 10}
    with tarfile.open(job / "model.tar.gz") as archive:
        assert archive.extractfile("joined.txt").read() == b"alpha beta"
    assert '"depth": "3"' in (job / "logs" / "algo-1.log").read_text()
