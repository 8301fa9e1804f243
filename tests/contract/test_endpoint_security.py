"""Who may call the endpoint: it starts containers, so nobody without its key, and no web page."""

import http.client
import json
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.contract.endpoint import BUCKET, Server, environment

pytestmark = pytest.mark.contract("security", "U")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    yield made
    assert made.end() == 0


def call(server, *, method="POST", path="/", headers=None, body=b"", signed=True, target="ListTrainingJobs", sent=None):
    """One request as it goes over the wire; status, headers, body. `sent` replaces the body after signing."""
    found = server.found
    host = urlsplit(found["url"]).netloc
    fields = {"Host": host, "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{target}"}
    if signed:
        request = AWSRequest(method=method, url=f"http://{host}{path}", data=body, headers=fields)
        SigV4Auth(Credentials(found["access_key"], found["secret"]), "sagemaker", "us-east-1").add_auth(request)
        fields = dict(request.headers)
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path, body if sent is None else sent, {**fields, **(headers or {})})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_signed_call_is_answered_without_a_word_on_other_origins(server):
    status, headers, body = call(server, body=b"{}")

    assert (status, json.loads(body)) == (200, {"TrainingJobSummaries": []})
    assert not [name for name in headers if name.lower().startswith("access-control")]
    s3 = server.client("s3").list_buckets()["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in s3 if name.lower().startswith("access-control")]


def test_unsigned_call_is_refused(server):
    status, _, body = call(server, body=b"{}", signed=False)

    assert (status, json.loads(body)["__type"]) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "UnrecognizedClientException"),
        ({"aws_secret_access_key": "another"}, "InvalidSignatureException"),
    ],
)
def test_wrong_key_is_refused(server, change, code):
    with pytest.raises(ClientError, match=code):
        server.client("sagemaker", **change).list_training_jobs()


@pytest.mark.parametrize("service", ["s3", "sts", "iam", "logs", "ecr"])
def test_services_behind_refuse_a_wrong_key_as_well(server, service):
    calls = {"s3": "list_buckets", "sts": "get_caller_identity", "iam": "list_roles", "logs": "describe_log_groups",
             "ecr": "describe_repositories"}  # fmt: skip
    with pytest.raises(ClientError, match="SignatureDoesNotMatch|InvalidSignatureException"):
        getattr(server.client(service, aws_secret_access_key="another"), calls[service])()


def test_body_that_was_changed_under_way_is_refused(server):
    status, _, body = call(server, body=b'{"MaxResults": 1}', sent=b'{"MaxResults": 2}')

    assert (status, json.loads(body)["__type"]) == (403, "InvalidSignatureException")


def test_signature_of_another_operation_does_not_count(server):
    status, _, body = call(server, body=b"{}", headers={"X-Amz-Target": "SageMaker.CreateTrainingJob"})

    assert (status, json.loads(body)["__type"]) == (403, "InvalidSignatureException")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
def test_web_page_is_refused_even_with_the_key(server, origin):
    status, headers, _ = call(server, body=b"{}", headers={"Origin": origin})

    assert status == 403
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_preflight_is_refused(server):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    status, headers, _ = call(server, method="OPTIONS", signed=False, headers=asked)

    assert status == 403
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "",
        "localhost.evil:1",
        "127.0.0.1:b.s3.x",
        "127.0.0.1:1:2",
    ],
)
def test_name_that_was_made_to_point_here_is_refused(server, host):
    status, _, _ = call(server, body=b"{}", headers={"Host": host})

    assert status == 403


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/", "/%6doto-api/reset", "/latest/meta-data/iam"])
def test_switches_of_the_services_behind_are_closed(server, path):
    server.client("s3").create_bucket(Bucket=BUCKET)
    status, _, _ = call(server, path=path)

    assert status == 403
    assert [item["Name"] for item in server.client("s3").list_buckets()["Buckets"]] == [BUCKET]
    server.client("s3").delete_bucket(Bucket=BUCKET)


def test_request_that_is_too_large_is_refused_before_it_is_read(server):
    status, _, body = call(server, body=b"{}", headers={"Content-Length": str(1 << 40)})

    assert (status, json.loads(body)["__type"]) == (413, "RequestEntityTooLargeException")


def test_body_without_a_length_is_refused_once_it_is_too_large(server):
    with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), 20) as stream:
        request = AWSRequest(
            method="POST", url=server.url + "/", data=b"", headers={"Host": urlsplit(server.url).netloc}
        )
        SigV4Auth(Credentials(server.found["access_key"], "unknown"), "sagemaker", "us-east-1").add_auth(request)
        fields = {**dict(request.headers), "Transfer-Encoding": "chunked", "Connection": "close"}
        stream.sendall(b"POST / HTTP/1.1\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in fields.items()) + b"\r\n")
        block = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        for _ in range(9):  # MB; a request in JSON has at most 8
            stream.sendall(block)
        stream.sendall(b"0\r\n\r\n")
        assert stream.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "key", ["../../outside", "/etc/outside", "a/../../../outside", "..", "a\\..\\outside", "%2e%2e/outside"]
)
def test_name_of_an_object_leads_nowhere_else(server, key):
    s3, around = server.client("s3"), server.root.parent
    before = set(around.rglob("*outside*"))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")

    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"x"
    assert {path for path in around.rglob("*outside*") if not path.is_relative_to(server.root)} == before
    assert not [name for name in ("/etc/outside", "/outside", "/tmp/outside") if Path(name).exists()]
    s3.delete_object(Bucket=BUCKET, Key=key)
    s3.delete_bucket(Bucket=BUCKET)


@pytest.mark.parametrize("name", ["../up", "a/b", ".", "..", "a" * 64, "", "a\nb", "a%2fb"])
def test_name_of_a_job_leads_nowhere_else(server, name):
    for call in ("describe_training_job", "stop_training_job", "delete_training_job"):
        with pytest.raises(ClientError, match="ValidationException"):
            getattr(server.client("sagemaker"), call)(TrainingJobName=name)
    with pytest.raises(ClientError, match="ValidationException"):
        server.create(name, ["end", 0])
    assert not (server.root / "jobs").exists() or not list((server.root / "jobs").iterdir())


def test_endpoint_listens_on_loopback_alone(server):
    wanted = f":{urlsplit(server.url).port:04X}"
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    assert [address for address in listening if address.endswith(wanted)] == [f"0100007F{wanted}"]


def test_service_that_would_start_containers_of_its_own_is_not_there(server):
    with pytest.raises(ClientError, match="NotImplemented"):
        server.client("lambda").list_functions()
    with pytest.raises(ClientError, match="NotImplemented.* local_mode has no 'ec2'; it has"):
        server.client("ec2").describe_instances()


def test_key_is_readable_by_its_owner_alone(server):
    for name in ("endpoint.json", "access_key.json"):
        assert stat.S_IMODE((server.root / name).stat().st_mode) == 0o600


def test_env_leads_a_shell_there_and_keeps_it_off_proxies(server):
    command = [sys.executable, "-m", "local_mode", "env", "--root", str(server.root)]
    caller = {**environment(), "AWS_PROFILE": "real", "no_proxy": "intranet"}
    shell = ["sh", "-c", 'eval "$("$@")" && env', "sh", *command]
    done = subprocess.run(shell, env=caller, capture_output=True, text=True, check=True, timeout=30)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    assert seen["AWS_ENDPOINT_URL"] == server.url
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_SECRET_ACCESS_KEY"]) == (
        server.found["access_key"],
        server.found["secret"],
    )
    assert seen["NO_PROXY"] == seen["no_proxy"] == "127.0.0.1,localhost,intranet"
    assert "AWS_PROFILE" not in seen


def test_env_without_an_endpoint_says_how_to_start_one(tmp_path):
    command = [sys.executable, "-m", "local_mode", "env", "--root", str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stdout) == (1, "")
    assert "start one with `make local-up`" in done.stderr


def test_second_endpoint_in_a_folder_is_refused(server):
    command = [sys.executable, "-m", "local_mode", "serve", "--port", "0", "--root", str(server.root)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert "runs in" in done.stderr
    assert server.is_up()
