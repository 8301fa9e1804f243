"""The SageMaker SDKs and the AWS CLI, unchanged, in environments of their own, against the endpoint."""

import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts.environments import project
from tests.contract.endpoint import BUCKET, Server, environment, request
from tests.contract.lab import IMAGE, eventually

PROGRAMS = Path(__file__).parent / "sdk"
SDK_SECONDS = 180
LOSS = pytest.approx(1 / 3, abs=1e-3)
DEFAULT_BUCKET = "sagemaker-us-east-1-123456789012"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    yield made
    assert made.end() == 0
    # Telemetry, or any other call that AWS would have had, would be told of here.
    assert not [line for line in made.log.read_text().splitlines() if "refused" in line or "no TLS" in line]


@pytest.fixture(scope="module")
def bucket(server: Server) -> str:
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="in/a.txt", Body=b"alpha")
    return BUCKET


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a script."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text("print('hello')\n")
    return folder


def exported(server: Server) -> dict[str, str]:
    """What `eval "$(local-mode env)"` sets."""
    command = [sys.executable, "-m", "local_mode", "env", "--root", str(server.root)]
    caller = {**environment(), **{key: value for key, value in os.environ.items() if key.lower() == "https_proxy"}}
    done = subprocess.run(command, env=caller, capture_output=True, text=True, check=True, timeout=30)
    words = [word for line in done.stdout.splitlines() if line.startswith("export ") for word in shlex.split(line)[1:]]
    return dict(word.split("=", 1) for word in words)


def typed(server: Server, home: Path, *command: str, seconds: float = SDK_SECONDS) -> str:
    """What a command says, typed in a shell that is led to the endpoint."""
    caller = {**exported(server), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    done = subprocess.run(command, env=caller, capture_output=True, text=True, check=False, timeout=seconds, cwd=home)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def program(version: str, name: str, *arguments: str) -> list[str]:
    return [str(project.make_sdk(version)), str(PROGRAMS / name), *arguments]


def aws(*words: str) -> list[str]:
    return [str(project.make_sdk("v3").with_name("aws")), *words]


def answer(said: str) -> dict:
    return json.loads(said.rpartition("ANSWER ")[2])


def test_sdk_v2_runs_on_the_paths_it_chooses_by_itself(server: Server, tmp_path: Path, source: Path):
    said = typed(server, tmp_path, *program("v2", "v2_estimator.py", "defaults", IMAGE, str(source)))

    seen = answer(said)
    assert (seen["account"], seen["bucket"]) == ("123456789012", DEFAULT_BUCKET)
    assert seen["role"] == "arn:aws:iam::123456789012:role/any"
    assert (seen["status"], seen["metrics"]) == ("Completed", {"loss": LOSS})
    assert seen["model_data"].startswith(f"s3://{DEFAULT_BUCKET}/local-mode-contract-")
    assert seen["model_bytes"] > 0
    assert seen["recorded"] == [{"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}, "a-key"]
    place, name = seen["board"]
    assert place == f"s3://{DEFAULT_BUCKET}/boards/{name}/tensorboard-output"
    assert "Reason: AlgorithmError: why, exit code: 3" in seen["reason"]
    assert seen["code"].endswith("/source/sourcedir.tar.gz")
    packed = server.client("s3").get_object(Bucket=DEFAULT_BUCKET, Key=seen["code"])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["train.py"]
    assert [line for line in said.splitlines() if "epoch=2 channel=train loss=0.333;" in line]


def test_sdk_v2_tracks_experiments_and_shows_their_table(server: Server, tmp_path: Path):
    seen = answer(typed(server, tmp_path, *program("v2", "v2_experiments.py", IMAGE)))

    rows = {row["TrialComponentName"]: row for row in seen["rows"]}
    inside, classic = (rows[f"{job}-aws-training-job"] for job in seen["jobs"])
    assert (seen["runs"], seen["config"]["RunName"]) == (["by-run"], "workshop-by-run")
    run = rows["workshop-by-run"]
    assert (run["batch"], run["optimizer"], run["later"]) == (64.0, "adam", 1.0)
    assert (run["loss - Count"], run["loss - Min"], run["loss - Last"]) == (3, LOSS, LOSS)
    for row in (inside, classic):
        assert (row["rate"], row["score - Count"], row["score - Max"]) == (0.1, 3, pytest.approx(0.8, abs=1e-6))
        assert row["SageMaker.ModelArtifact - Value"].endswith("/output/model.tar.gz")
        assert row["Experiments"] == ["workshop"]
    (best,) = seen["best"]
    assert (best["TrialComponentName"], best["DisplayName"]) == (classic["TrialComponentName"], "Training")
    assert "batch" not in best
    assert seen["left"] == []


def test_sdk_v2_tunes_and_shows_tables_and_warm_starts(server: Server, tmp_path: Path):
    seen = answer(typed(server, tmp_path, *program("v2", "v2_tuner.py", IMAGE)))

    rows = seen["table"]
    assert len(rows) == 6
    assert {row["TrainingJobStatus"] for row in rows} <= {"Completed", "Stopped"}
    assert seen["best"] == rows[0]["TrainingJobName"]
    assert rows[0]["TrainingJobStatus"] == "Completed"
    assert rows[0]["FinalObjectiveValue"] == pytest.approx(1 - abs(float(rows[0]["rate"]) - 0.3), abs=1e-5)
    assert {row["optimizer"] for row in rows} <= {"adam", "sgd"}
    assert {int(row["depth"]) for row in rows} <= set(range(2, 9))
    assert seen["model_data"].endswith(f"/{seen['best']}/output/model.tar.gz")
    assert (seen["static"]["act"], seen["static"]["_tuning_objective_metric"]) == ('["learn", 3]', "score")
    assert seen["ranges"]["rate"]["ScalingType"] == "Logarithmic"
    assert seen["warm"] == {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": seen["name"]}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    assert seen["overall"].startswith(("sdk-", "warm-"))
    assert seen["stopped"] == "Stopped"


def test_sdk_v3_runs_on_the_paths_it_chooses_by_itself(server: Server, tmp_path: Path, source: Path):
    said = typed(server, tmp_path, *program("v3", "v3_trainer.py", "defaults", IMAGE, str(source)))

    seen = answer(said)
    assert (seen["account"], seen["bucket"]) == ("123456789012", DEFAULT_BUCKET)
    assert (seen["status"], seen["metrics"]) == ("Completed", {"loss": LOSS})
    assert seen["model_data"].startswith(f"s3://{DEFAULT_BUCKET}/local-mode-contract-")
    assert seen["model_bytes"] > 0
    assert "Failure Reason: AlgorithmError: why, exit code: 3" in seen["reason"]
    assert seen["channels"] == ["code", "sm_drivers"]
    assert [key.rpartition("/")[2] for key in seen["code"]] == ["train.py"]


def test_aws_cli_asks_who_it_is_and_copies_to_and_from_s3(server: Server, tmp_path: Path, source: Path, bucket: str):
    def said(*words: str) -> str:
        return typed(server, tmp_path, *aws(*words))

    assert json.loads(said("sts", "get-caller-identity"))["Account"] == "123456789012"
    # A client that is told AWS's own address gets there as well, and no further.
    pinned = ("--endpoint-url", "https://sts.us-west-2.amazonaws.com", "--region", "us-west-2")
    assert json.loads(said("sts", "get-caller-identity", *pinned))["Account"] == "123456789012"
    said("s3", "cp", str(source / "train.py"), f"s3://{bucket}/cli/train.py")
    (source / "more.txt").write_text("more")
    assert "more.txt" in said("s3", "sync", str(source), f"s3://{bucket}/cli/")
    assert [line.split()[3] for line in said("s3", "ls", f"s3://{bucket}/cli/").splitlines()] == [
        "more.txt", "train.py",
    ]  # fmt: skip
    said("s3", "sync", f"s3://{bucket}/cli/", str(tmp_path / "back"))
    assert (tmp_path / "back" / "train.py").read_bytes() == (source / "train.py").read_bytes()


def test_aws_cli_creates_describes_lists_and_stops_jobs(server: Server, tmp_path: Path):
    def said(*words: str) -> str:
        return typed(server, tmp_path, *aws("sagemaker", *words))

    wanted = request("cli-stop", ["wait_for_stop"])
    (tmp_path / "request.json").write_text(json.dumps(wanted))
    made = json.loads(said("create-training-job", "--cli-input-json", f"file://{tmp_path}/request.json"))
    assert made["TrainingJobArn"].endswith(":training-job/cli-stop")
    eventually(lambda: "ready" in "".join(server.log_lines("cli-stop")))
    said("stop-training-job", "--training-job-name", "cli-stop")
    said("wait", "training-job-completed-or-stopped", "--training-job-name", "cli-stop")

    described = json.loads(said("describe-training-job", "--training-job-name", "cli-stop"))
    assert described["TrainingJobStatus"] == "Stopped"
    listed = json.loads(said("list-training-jobs", "--name-contains", "cli-stop"))["TrainingJobSummaries"]
    assert [(job["TrainingJobName"], job["TrainingJobStatus"]) for job in listed] == [("cli-stop", "Stopped")]


ADDED = {
    "v2": {"DebugHookConfig", "ProfilerConfig"},
    "v3": set(),
}
"""Blocks that an SDK adds of its own accord."""
NAMED_OR_TIMED = {
    "TrainingJobName", "TrainingJobArn", "ModelArtifacts", "CreationTime", "LastModifiedTime", "TrainingStartTime",
    "TrainingEndTime", "TrainingTimeInSeconds", "BillableTimeInSeconds", "ResponseMetadata",
}  # fmt: skip


def comparable(described: dict) -> dict:
    """A description but for names and times."""
    kept = {key: value for key, value in described.items() if key not in NAMED_OR_TIMED}
    kept["SecondaryStatusTransitions"] = [
        (item["Status"], item["StatusMessage"]) for item in described["SecondaryStatusTransitions"]
    ]
    kept["FinalMetricDataList"] = [(item["MetricName"], item["Value"]) for item in described["FinalMetricDataList"]]
    return kept


def report(server: Server, described: dict) -> dict:
    """What the program says in the model that it left at its URI."""
    bucket, _, key = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    packed = server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return json.load(archive.extractfile("report.json"))


def test_one_request_gives_one_result_by_every_client(server: Server, tmp_path: Path, bucket: str):
    wanted = request(
        "same-boto3",
        ["epochs"],
        channels={"train": f"s3://{bucket}/in/"},
        algorithm={"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]},
        Environment={"GREETING": "hello there"},
        Tags=[{"Key": "team", "Value": "vision"}],
    )
    wanted["InputDataConfig"][0]["ContentType"] = "text/plain"
    wanted["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "FullyReplicated"
    server.client("sagemaker").create_training_job(**wanted)
    names = {"boto3": "same-boto3", "cli": "same-cli", "v2": "same-v2"}
    for client in ("cli", "v2", "v3"):
        path = tmp_path / f"{client}.json"
        path.write_text(json.dumps({**wanted, "TrainingJobName": f"same-{client}"}))
        if client == "cli":
            typed(server, tmp_path, *aws("sagemaker", "create-training-job", "--cli-input-json", f"file://{path}"))
        elif client == "v2":
            typed(server, tmp_path, *program("v2", "v2_estimator.py", "request", str(path)))
        else:
            said = typed(server, tmp_path, *program("v3", "v3_trainer.py", "request", str(path)))
            names["v3"] = answer(said)["name"]

    described = {client: server.ended(name) for client, name in names.items()}
    expected = comparable(described["boto3"])
    assert expected["TrainingJobStatus"] == "Completed"
    for client, description in described.items():
        seen = comparable(description)
        assert {key for key in seen if key not in expected} <= ADDED.get(client, set()), client
        assert {key: seen.get(key) for key in expected} == expected, client
        assert report(server, description) == report(server, described["boto3"]), client
    tags = server.client("sagemaker")
    assert {
        client: tags.list_tags(ResourceArn=each["TrainingJobArn"])["Tags"] for client, each in described.items()
    } == dict.fromkeys(described, wanted["Tags"])
