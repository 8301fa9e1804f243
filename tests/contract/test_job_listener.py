"""How a program reaches S3 (contract 1.2, credentials and region; 1.4, isolation; 1.6, S3_ENDPOINT_URL).

A known deviation from 1.2: AWS_ENDPOINT_URL, S3_ENDPOINT_URL and keys in variables, where the platform has a relative
address for credentials alone.
"""

import io
import json
import tarfile
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually

pytestmark = pytest.mark.contract("security", "U")

OUT, CHECKPOINTS, CODE = "out", "ckpt", "code/sourcedir.tar.gz"


@pytest.fixture
def server(kind, tmp_path):
    path = "/nonexistent" if kind == "plain" else None
    made = Server.start(tmp_path, path=path, runtime="docker" if kind == "docker" else "process")
    s3 = made.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket="another-bucket")
    for key in ("in/a.txt", CODE, "secret/b.txt", "out/other-job/output/model.tar.gz", "ckpt/1", "ckpt-other/1"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    yield made
    assert made.end() == 0  # killed, it would leave the container of a job whose end it has just told
    assert "Traceback" not in made.log.read_text()


def start(server, name, act, **fields):
    parameters = {"act": json.dumps(act), "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/{CODE}")}
    fields = {"HyperParameters": parameters, "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/{CHECKPOINTS}"}} | fields
    server.create(name, act, channels={"train": f"s3://{BUCKET}/in"}, mode="File", **fields)


def packed(server, name):
    """What the program of a job reported."""
    described = server.ended(name)
    assert described["TrainingJobStatus"] == "Completed", (described.get("FailureReason"), server.log_lines(name))
    key = f"{OUT}/{name}/output/model.tar.gz"
    data = server.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return json.load(archive.extractfile("report.json"))


def keys(server, name):
    """What a running job's program was given."""
    eventually(lambda: server.log_lines(name)[1:] == ["ready"])
    return json.loads(server.log_lines(name)[0])


def client(service, given, **changes):
    found = {"endpoint_url": given["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
    found |= {"aws_access_key_id": given["AWS_ACCESS_KEY_ID"], "aws_session_token": given["AWS_SESSION_TOKEN"]}
    config = Config(retries={"total_max_attempts": 1}, proxies={}, parameter_validation=False)
    found |= {"aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"], "config": config}
    return boto3.session.Session().client(service, **found | changes)


def denied(call, *arguments, **named):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    return caught.value.response["Error"]["Code"]


def test_program_reads_what_its_request_names_and_writes_below_its_outputs(server):
    start(server, "own", ["ask_s3", [
        ["get_object", {"Bucket": BUCKET, "Key": CODE}],
        ["get_object", {"Bucket": BUCKET, "Key": "in/a.txt"}],
        ["put_object", {"Bucket": BUCKET, "Key": f"{OUT}/own/seen.txt", "Body": "written inside"}],
        ["get_object", {"Bucket": BUCKET, "Key": "secret/b.txt"}],
        ["put_object", {"Bucket": BUCKET, "Key": "in/a.txt", "Body": "no"}],
    ]])  # fmt: skip
    seen = packed(server, "own")

    assert seen["answers"] == [CODE, "in/a.txt", "done", "AccessDenied", "AccessDenied"]
    assert server.client("s3").get_object(Bucket=BUCKET, Key=f"{OUT}/own/seen.txt")["Body"].read() == b"written inside"
    given = seen["environment"]
    assert given["S3_ENDPOINT_URL"] == given["AWS_ENDPOINT_URL"] != server.url
    assert given["AWS_ACCESS_KEY_ID"] != server.found["access_key"]
    assert server.found["secret"] not in json.dumps(given)


def test_credentials_of_a_job_reach_nothing_else(server):
    start(server, "first", ["tell_keys"])
    given = keys(server, "first")
    s3 = client("s3", given)
    mine, secret = {"Bucket": BUCKET, "Key": f"{OUT}/first/x"}, {"Bucket": BUCKET, "Key": "secret/b.txt"}

    s3.put_object(**mine, Body=b"x")
    s3.copy_object(Bucket=BUCKET, Key=f"{CHECKPOINTS}/2", CopySource={"Bucket": BUCKET, "Key": "in/a.txt"})
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="ckpt/")["Contents"]] == [
        "ckpt/1",
        "ckpt/2",
    ]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": f"{CHECKPOINTS}/2"}]})
    s3.head_bucket(Bucket=BUCKET)
    assert client("sts", given).get_caller_identity()["Account"] == "123456789012"
    refused = [
        denied(s3.get_object, **secret),
        denied(s3.get_object, Bucket=BUCKET, Key="out/other-job/output/model.tar.gz"),
        denied(s3.get_object, Bucket=BUCKET, Key="ckpt-other/1"),
        denied(s3.get_object, Bucket="another-bucket", Key="in/a.txt"),
        denied(s3.get_object_acl, **mine),
        denied(s3.put_object_acl, **mine, ACL="public-read"),
        denied(s3.put_object, Bucket=BUCKET, Key="out/first", Body=b""),
        denied(s3.copy_object, **mine, CopySource=secret),
        denied(s3.delete_object, **secret),
        denied(s3.delete_objects, Bucket=BUCKET, Delete={"Objects": [{"Key": mine["Key"]}, {"Key": secret["Key"]}]}),
        denied(s3.create_multipart_upload, **secret),
        denied(s3.list_objects_v2, Bucket=BUCKET),
        denied(s3.list_objects_v2, Bucket=BUCKET, Prefix="sec"),
        denied(s3.list_buckets),
        denied(s3.get_bucket_policy, Bucket=BUCKET),
        denied(s3.put_bucket_policy, Bucket=BUCKET, Policy="{}"),
        denied(s3.create_bucket, Bucket="mine-now"),
        denied(s3.delete_bucket, Bucket=BUCKET),
        denied(client("sts", given).assume_role, RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="ab"),
        denied(client("sagemaker", given).list_training_jobs),
        denied(client("iam", given).list_roles),
        denied(client("logs", given).describe_log_groups),
    ]
    assert refused == ["AccessDenied"] * len(refused)
    assert denied(client("s3", given, aws_session_token=None).get_object, **mine) == "InvalidToken"
    assert denied(client("s3", given, aws_secret_access_key="guess").get_object, **mine) == "SignatureDoesNotMatch"
    assert denied(client("s3", given, endpoint_url=server.url).get_object, **mine) == "InvalidAccessKeyId"
    assert (
        denied(server.client("s3", endpoint_url=given["AWS_ENDPOINT_URL"]).get_object, **mine) == "InvalidAccessKeyId"
    )

    start(server, "second", ["tell_keys"])
    other = keys(server, "second")
    assert (
        denied(client("s3", given, endpoint_url=other["AWS_ENDPOINT_URL"]).get_object, **mine) == "InvalidAccessKeyId"
    )
    assert denied(client("s3", other).get_object, **mine) == "AccessDenied"
    for name in ("first", "second"):
        server.client("sagemaker").stop_training_job(TrainingJobName=name)
        server.ended(name)
    server.cleared("first", "second")
    with pytest.raises(EndpointConnectionError):
        s3.get_object(**mine)


def test_isolated_program_has_no_credentials_and_no_way(server, kind):
    if kind == "plain":  # which refuses such a job
        with pytest.raises(ClientError, match="EnableNetworkIsolation"):
            start(server, "alone", ["tell_keys"], EnableNetworkIsolation=True)
        return
    start(server, "alone", ["tell_keys"], EnableNetworkIsolation=True)

    assert set(keys(server, "alone").values()) == {None}
    server.client("sagemaker").stop_training_job(TrainingJobName="alone")
    server.ended("alone")


def test_variables_of_the_request_come_before_ours(server):
    start(server, "theirs", ["tell_keys"], Environment={"AWS_ACCESS_KEY_ID": "THEIRS"})
    assert keys(server, "theirs")["AWS_ACCESS_KEY_ID"] == "THEIRS"
    server.client("sagemaker").stop_training_job(TrainingJobName="theirs")
    server.ended("theirs")


def test_several_hosts_reach_s3_over_their_own_network(server, kind):
    if kind == "plain":  # which has one host only
        with pytest.raises(ClientError, match="InstanceCount|hosts"):
            start(server, "two", ["tell_keys"], ResourceConfig=resources(2))
        return
    call = ["get_object", {"Bucket": BUCKET, "Key": CODE}]
    start(server, "two", ["ask_s3", [call]], ResourceConfig=resources(2))
    assert packed(server, "two")["answers"] == [CODE]


def resources(count):
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1}


def test_page_of_the_web_is_refused_at_a_jobs_listener(server):
    start(server, "page", ["tell_keys"])
    s3 = client("s3", keys(server, "page"), config=Config(signature_version="s3v4"))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": CODE}, ExpiresIn=60)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read().decode() == CODE
    for header in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(url, headers=header), timeout=10)
    server.client("sagemaker").stop_training_job(TrainingJobName="page")
    server.ended("page")
