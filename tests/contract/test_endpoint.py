"""The endpoint as a boto3 client sees it: jobs that really run, their artifacts, logs and lists."""

import hashlib
import io
import json
import re
import signal
import subprocess
import sys
import tarfile
import urllib.request

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.contract.endpoint import BUCKET, LOGS, ROLE, Server, environment, request
from tests.contract.lab import assert_nothing_left, eventually, processes


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "20")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture
def start(tmp_path):
    """Starts endpoints in one folder; none outlives its test."""
    made = []

    def start_one(*options, **changes):
        made.append(Server.start(tmp_path, *options, **changes))
        return made[-1]

    yield start_one
    for server in made:
        server.end(signal.SIGKILL)


@pytest.fixture
def s3(server):
    return server.client("s3")


def put(s3, **objects):
    for key, text in objects.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())


def archive(s3, uri):
    """Files of a tar in S3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}


@pytest.mark.contract(
    "4.2", "D", "a job that succeeds goes Starting, Downloading, Training, Uploading, Completed, each with its message"
)
def test_job_runs_from_s3_to_s3_and_is_described_as_on_aws(server, s3):
    put(s3, **{"in/a.txt": "alpha no newline", "in/b.txt": "beta", "in/Z.txt": "zeta\n", "in-other.txt": "no"})
    metrics = {"MetricDefinitions": [{"Name": "my:loss", "Regex": "loss=([0-9.]+)"}]}
    answer = server.create("whole", ["epochs"], channels={"train": f"s3://{BUCKET}/in/"}, algorithm=metrics)
    described = server.ended("whole")

    assert answer["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:training-job/whole"
    assert described["TrainingJobStatus"] == "Completed"
    secondary = [item["Status"] for item in described["SecondaryStatusTransitions"]]
    assert secondary == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(item["StatusMessage"] for item in described["SecondaryStatusTransitions"])
    (metric,) = described["FinalMetricDataList"]
    assert (metric["MetricName"], round(metric["Value"], 3)) == ("my:loss", 0.333)
    uri = described["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/out/whole/output/model.tar.gz"
    digest = hashlib.sha256(b"zeta\nalpha no newlinebeta").hexdigest()
    assert json.loads(archive(s3, uri)["report.json"])["digests"] == {"train": [digest] * 3}
    assert server.log_lines("whole") == [f"epoch={n} channel=train loss={1 / (n + 1):.3f};" for n in range(3)]
    server.cleared("whole")
    assert_nothing_left(server.root / "jobs" / "whole", None)


@pytest.mark.contract("4.6", "D")
def test_log_stream_is_named_after_job_host_and_time_and_filled_while_the_job_runs(server, sagemaker):
    server.create("live", ["wait_for_stop"])
    eventually(lambda: server.log_lines("live") == ["ready"])

    assert server.describe("live")["TrainingJobStatus"] == "InProgress"
    streams = server.client("logs").describe_log_streams(logGroupName=LOGS, logStreamNamePrefix="live/")["logStreams"]
    assert re.fullmatch(r"live/algo-1-\d{10}", streams[0]["logStreamName"])
    sagemaker.stop_training_job(TrainingJobName="live")
    server.ended("live")


@pytest.mark.contract("3.5", "O")
def test_files_of_s3_lie_below_the_channel_under_their_keys(server, s3):
    put(s3, **{"tree/train/a.txt": "a", "tree/train/deep/er ü+.txt": "b", "tree/train/empty/": ""})
    server.create("files", ["tree"], channels={"train": f"s3://{BUCKET}/tree/train"}, mode="File")

    uri = server.ended("files")["ModelArtifacts"]["S3ModelArtifacts"]
    assert json.loads(archive(s3, uri)["report.json"])["files"] == {"a.txt": "a", "deep/er ü+.txt": "b"}


@pytest.mark.contract("4.2", "R")
def test_stopped_job_ends_as_stopped_with_its_artifacts_and_cannot_be_stopped_again(server, sagemaker, s3):
    server.create("stopped", ["wait_for_stop"])
    eventually(lambda: server.log_lines("stopped") == ["ready"])
    sagemaker.stop_training_job(TrainingJobName="stopped")
    described = server.ended("stopped")

    assert described["TrainingJobStatus"] == "Stopped"
    secondary = [item["Status"] for item in described["SecondaryStatusTransitions"]]
    assert secondary[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert "report.json" in archive(s3, described["ModelArtifacts"]["S3ModelArtifacts"])
    with pytest.raises(ClientError, match="rejected because the training job is in status Stopped") as refused:
        sagemaker.stop_training_job(TrainingJobName="stopped")
    assert code(refused) == "ValidationException"


@pytest.mark.contract("2.4", "R")
def test_failed_job_says_why_and_leaves_its_artifacts(server, s3):
    server.create("failed", ["end", 3, "no such layer"])
    described = server.ended("failed")

    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"] == "AlgorithmError: no such layer, exit code: 3"
    assert archive(s3, described["ModelArtifacts"]["S3ModelArtifacts"])["weights.bin"] == b"weights"


@pytest.mark.contract("4.4", "D")
def test_checkpoints_are_restored_from_s3_and_changes_go_back(server, s3):
    put(s3, **{"ckpt/old.ckpt": "old", "ckpt/kept.ckpt": "kept"})
    server.create("checks", ["checkpoints"], CheckpointConfig={"S3Uri": f"s3://{BUCKET}/ckpt"})
    described = server.ended("checks")

    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="ckpt/")["Contents"]]
    assert keys == ["ckpt/kept.ckpt", "ckpt/new.ckpt"]


def code(caught):
    return caught.value.response["Error"]["Code"]


@pytest.mark.contract("4.1", "D")
def test_taken_name_is_a_resource_in_use_and_the_first_job_stays(server):
    server.create("twice", ["end", 0])
    server.ended("twice")

    with pytest.raises(ClientError, match="names must be unique within an AWS account and region") as refused:
        server.create("twice", ["end", 1])
    assert code(refused) == "ResourceInUse"
    assert "arn:aws:sagemaker:us-east-1:123456789012:training-job/twice" in str(refused.value)
    assert server.describe("twice")["TrainingJobStatus"] == "Completed"


@pytest.mark.contract(
    "4.1", "O", "{operation} of an unknown job is a ValidationException: Requested resource not found"
)
@pytest.mark.parametrize("operation", ["describe", "stop", "delete"])
def test_unknown_job_is_told_in_the_words_of_aws(sagemaker, operation):
    with pytest.raises(ClientError, match="Requested resource not found") as refused:
        getattr(sagemaker, f"{operation}_training_job")(TrainingJobName="nobody")
    assert code(refused) == "ValidationException"


@pytest.mark.contract("4.1", "D")
def test_every_violation_of_the_model_is_listed_in_one_answer(server):
    bad = request("not_a_name", ["look"])
    bad["AlgorithmSpecification"]["TrainingInputMode"] = "Stream"
    del bad["RoleArn"]

    with pytest.raises(ClientError, match="3 validation errors detected") as refused:
        server.client("sagemaker").create_training_job(**bad)
    text = str(refused.value)
    assert code(refused) == "ValidationException"
    assert (
        "Value 'not_a_name' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression "
        "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}" in text
    )
    assert "Value null at 'roleArn' failed to satisfy constraint: Member must not be null" in text
    assert "Value 'Stream' at 'algorithmSpecification.trainingInputMode'" in text
    assert "Member must satisfy enum value set: [" in text


@pytest.mark.contract("3.1", "D")
def test_rule_between_fields_is_a_validation_exception(server):
    with pytest.raises(ClientError, match="is Gzip in File mode") as refused:
        bad = request("gzip", ["look"], channels={"train": f"s3://{BUCKET}/in"}, mode="File")
        bad["InputDataConfig"][0]["CompressionType"] = "Gzip"
        server.client("sagemaker").create_training_job(**bad)
    assert code(refused) == "ValidationException"


@pytest.mark.contract("3.2", "R")
def test_prefix_without_objects_is_refused_at_once_and_the_name_stays_free(server):
    with pytest.raises(ClientError, match=f'No S3 objects found under S3 URL "s3://{BUCKET}/nothing"') as refused:
        server.create("empty", ["look"], channels={"train": f"s3://{BUCKET}/nothing"})
    assert code(refused) == "ValidationException"
    with pytest.raises(ClientError, match="Requested resource not found"):
        server.describe("empty")


@pytest.mark.contract("4.1", "U")
def test_bucket_that_is_not_there_is_refused_before_hours_of_training(server):
    with pytest.raises(ClientError, match="Cannot write to s3://no-such-bucket/x: there is no bucket 'no-such-bucket'"):
        server.create("nowhere", ["look"], OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/x"})


@pytest.mark.contract("security", "U")
@pytest.mark.parametrize("key", ["evil/../../../../../tmp/escaped", "evil//absolute"])
def test_key_that_would_leave_the_channel_is_refused(server, s3, key):
    put(s3, **{key: "out"})
    with pytest.raises(ClientError, match="cannot be a file below a channel"):
        server.create("escape", ["look"], channels={"train": f"s3://{BUCKET}/evil/"}, mode="File")
    s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.contract("4.1", "D")
def test_only_ended_jobs_are_deleted_and_their_names_are_free_again(server, sagemaker):
    server.create("deleted", ["wait_for_stop"])
    with pytest.raises(ClientError, match="training job is in status InProgress"):
        sagemaker.delete_training_job(TrainingJobName="deleted")
    sagemaker.stop_training_job(TrainingJobName="deleted")
    server.ended("deleted")

    sagemaker.delete_training_job(TrainingJobName="deleted")

    with pytest.raises(ClientError, match="Requested resource not found"):
        server.describe("deleted")
    server.create("deleted", ["end", 0])
    server.ended("deleted")


@pytest.mark.contract("4.1", "D")
def test_list_gives_every_job_once_over_pages_while_new_ones_come(server, sagemaker):
    for number in range(5):
        server.create(f"page-{number}", ["end", 0])
    chosen = {"NameContains": "page-", "SortBy": "Name", "SortOrder": "Descending", "MaxResults": 2}
    names, token = [], {}
    while True:
        answer = sagemaker.list_training_jobs(**chosen, **token)
        names.append([job["TrainingJobName"] for job in answer["TrainingJobSummaries"]])
        if not names[1:]:
            server.create("page-9", ["end", 0])  # before the place that the first page ended at
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}

    assert names == [["page-4", "page-3"], ["page-2", "page-1"], ["page-0"]]
    for name in ("page-0", "page-1", "page-2", "page-3", "page-4", "page-9"):
        server.ended(name)
    with pytest.raises(ClientError, match="NextToken is not one"):
        sagemaker.list_training_jobs(NextToken="made-up")
    with pytest.raises(ClientError, match="other filters"):
        sagemaker.list_training_jobs(**{**chosen, "NameContains": "page"}, **token)


@pytest.mark.contract("4.1", "D")
def test_tags_of_a_job_are_added_listed_and_removed(server, sagemaker):
    arn = server.create("tagged", ["end", 0], Tags=[{"Key": "team", "Value": "vision"}])["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "ünits"}, {"Key": "team", "Value": "audio"}])
    server.ended("tagged")
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "late", "Value": "yes"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["cost"])

    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags == {"team": "audio", "late": "yes"}


@pytest.mark.contract("endpoint", "U")
def test_work_that_would_only_be_recorded_is_refused(server):
    with pytest.raises(ClientError, match="does not run processing jobs yet"):
        server.client("sagemaker").create_processing_job(ProcessingJobName="t")


@pytest.mark.contract("endpoint", "U")
def test_role_that_nobody_made_can_be_looked_up_and_may_do_all(server):
    iam = server.client("iam")

    trust = iam.get_role(RoleName="any")["Role"]["AssumeRolePolicyDocument"]
    allowed = iam.simulate_principal_policy(PolicySourceArn=ROLE, ActionNames=["s3:GetObject", "s3:PutObject"])

    assert trust["Statement"][0]["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert [item["EvalDecision"] for item in allowed["EvaluationResults"]] == ["allowed", "allowed"]
    assert server.client("sts").get_caller_identity()["Account"] == "123456789012"


@pytest.mark.contract("endpoint", "U")
def test_presigned_url_works_without_a_client(server, s3):
    s3.put_object(Bucket=BUCKET, Key="signed.txt", Body=b"for you", Metadata={"a_b": "kept"})
    client = server.client("s3", config=Config(signature_version="s3v4"))
    url = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "signed.txt"}, ExpiresIn=60)

    with urllib.request.urlopen(url, timeout=10) as answer:
        assert (answer.read(), answer.headers["x-amz-meta-a_b"]) == (b"for you", "kept")


@pytest.mark.contract("endpoint", "U")
def test_large_object_survives_upload_and_download_in_parts(server, s3, tmp_path):
    data = bytes(range(256)) * (20 << 12)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), BUCKET, "large.bin")
    s3.download_file(BUCKET, "large.bin", str(tmp_path / "down"))

    assert (tmp_path / "down").read_bytes() == data


@pytest.mark.contract("endpoint", "U")
def test_ended_service_has_stopped_its_jobs_and_the_next_one_knows_them(start, tmp_path):
    first = start("--stop-grace", "20")
    first.client("s3").create_bucket(Bucket=BUCKET)
    first.create("before", ["end", 4, "why"])
    first.ended("before")
    first.create("during", ["wait_for_stop"])
    eventually(lambda: first.log_lines("during") == ["ready"])
    key = first.found["access_key"]

    assert first.end() == 0
    assert not (tmp_path / "root" / "endpoint.json").exists()
    for name in ("before", "during"):
        assert_nothing_left(tmp_path / "root" / "jobs" / name, None)
    second = start()
    try:
        assert second.found["access_key"] == key
        assert second.describe("before")["FailureReason"] == "AlgorithmError: why, exit code: 4"
        assert second.describe("during")["TrainingJobStatus"] == "Stopped"
        listed = second.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
        assert [job["TrainingJobName"] for job in listed] == ["before", "during"]
    finally:
        assert second.end() == 0


@pytest.mark.contract("endpoint", "U")
def test_killed_service_leaves_a_job_that_the_next_one_reports_as_failed(start, tmp_path):
    first = start()
    first.client("s3").create_bucket(Bucket=BUCKET)
    first.create("alone", ["ignore_stop"])
    eventually(lambda: first.log_lines("alone") == ["ready"])
    first.end(signal.SIGKILL)

    second = start()
    try:
        described = second.describe("alone")
        assert described["TrainingJobStatus"] == "Failed"
        assert described["FailureReason"].startswith("InternalServerError: local_mode was killed")
        assert processes(tmp_path / "root" / "jobs" / "alone") == []
    finally:
        assert second.end() == 0


@pytest.mark.contract("endpoint", "U")
def test_every_runner_serves(kind, lab, start):
    # What is not on PATH is not installed.
    path = "/nonexistent" if kind == "plain" else None
    server = start(path=path, runtime="docker" if kind == "docker" else "process")
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        put(s3, **{"in/a.txt": "a", "ckpt/old.ckpt": "old"})
        server.create("piped", ["epochs"], channels={"train": f"s3://{BUCKET}/in"})
        server.create("filed", ["tree"], channels={"train": f"s3://{BUCKET}/in"}, mode="File")
        server.create("saved", ["checkpoints"], CheckpointConfig={"S3Uri": f"s3://{BUCKET}/ckpt"})
        ends = {name: server.ended(name) for name in ("piped", "filed", "saved")}
        assert [end.get("FailureReason") for end in ends.values()] == [None] * 3
        report = archive(s3, ends["filed"]["ModelArtifacts"]["S3ModelArtifacts"])["report.json"]
        assert json.loads(report)["files"] == {"a.txt": "a"}
        assert len(server.log_lines("piped")) == 3
        assert [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="ckpt/")["Contents"]] == [
            "ckpt/new.ckpt"
        ]
    finally:
        assert server.end() == 0
    for name in ends:
        assert_nothing_left(server.root / "jobs" / name, lab.client)


@pytest.mark.contract("command line", "U")
def test_background_endpoint_is_found_and_ended_by_the_command_line(tmp_path):
    options = ["--root", str(tmp_path / "root")]

    def run(*words):
        command = [sys.executable, "-m", "local_mode", *words, *options]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)

    first, second = run("serve", "--background", "--port", "0"), run("serve", "--background", "--port", "0")
    assert first.returncode == 0, first.stderr
    assert second.stdout == first.stdout != ""
    assert (first.stderr, second.stderr.partition(":")[0]) == ("", "runs already")
    assert f"AWS_ENDPOINT_URL={first.stdout.strip()}" in run("env").stdout
    assert run("down").returncode == 0
    assert "No endpoint runs in" in run("down").stderr
