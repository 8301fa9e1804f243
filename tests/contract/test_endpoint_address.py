"""Where the endpoint listens: on loopback, and elsewhere only for who says so twice, by the names that were given."""

import http.client
import json
import socket
import subprocess
import sys

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.contract.endpoint import BUCKET, Server, environment

pytestmark = pytest.mark.contract("security", "U")


@pytest.fixture(scope="module")
def address():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError as error:
            pytest.skip(f"this machine has no address but loopback: {error}")
        return probe.getsockname()[0]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory, address):
    options = ("--address", address, "--exposed", "--name", "Box.Example.")
    made = Server.start(tmp_path_factory.mktemp("exposed"), *options)
    yield made
    assert made.end() == 0


def status(server, place, host):
    """Of a call to `place`, signed for `host`, which is its Host header."""
    found = server.found
    port = int(found["url"].rpartition(":")[2])
    fields = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListTrainingJobs"}
    request = AWSRequest(method="POST", url=f"http://{host}:{port}/", data=b"{}", headers=fields)
    SigV4Auth(Credentials(found["access_key"], found["secret"]), "sagemaker", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(place, port, timeout=10)
    try:
        connection.request("POST", "/", b"{}", {**dict(request.headers), "Host": f"{host}:{port}"})
        return connection.getresponse().status
    finally:
        connection.close()


def refusal(*options):
    command = [sys.executable, "-m", "local_mode", "serve", "--port", "0", *options]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_endpoint_is_on_loopback_alone_unless_told_otherwise(tmp_path, address):
    server = Server.start(tmp_path)
    try:
        assert status(server, "127.0.0.1", "127.0.0.1") == 200
        with pytest.raises(ConnectionRefusedError):
            status(server, address, "127.0.0.1")
        assert "WARNING" not in server.log.read_text()
    finally:
        assert server.end() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "{address}"], "error: --address is {address}, where other machines get to: whoever has the key"),
        (["--address", "0.0.0.0"], "error: --address is 0.0.0.0, where other machines get to"),
        (["--address", "0.0.0.0", "--exposed"], "error: --address is 0.0.0.0, and no --name says by which name"),
        (["--address", "box"], "error: --address is 'box'; give an IPv4 address"),
        (["--name", "box:80"], "error: --name is 'box:80'; give a name or address alone"),
        (["--name", "*"], "error: --name is '*'; give a name"),
        (["--address", "203.0.113.77", "--exposed"], "error: Cannot listen on 203.0.113.77, port 0: "),
    ],
)
def test_address_that_others_get_to_is_refused_unless_it_is_meant(tmp_path, address, options, message):
    options = [word.format(address=address) for word in options]

    assert refusal("--root", str(tmp_path / "root"), *options).startswith(message.format(address=address))


def test_exposed_endpoint_answers_to_its_address_and_its_names_and_warns(exposed, address):
    assert exposed.url.startswith(f"http://{address}:")
    assert [status(exposed, address, host) for host in (address, "box.example")] == [200, 200]
    assert [status(exposed, address, host) for host in ("localhost", "127.0.0.1", "evil.example", "a.box.example")] == [
        403
    ] * 4
    (warning,) = [line for line in exposed.log.read_text().splitlines() if "WARNING" in line]
    assert f"WARNING: the endpoint listens on {address}, for other machines." in warning
    assert "Nothing is encrypted" in warning


def test_exposed_endpoint_asks_for_the_key_as_ever(exposed, address):
    port = int(exposed.url.rpartition(":")[2])
    for headers in ({}, {"Origin": "http://box.example"}):
        connection = http.client.HTTPConnection(address, port, timeout=10)
        connection.request("POST", "/", b"{}", {"X-Amz-Target": "SageMaker.ListTrainingJobs", **headers})
        assert connection.getresponse().status == 403
        connection.close()


def test_exposed_endpoint_runs_jobs_and_leads_a_shell_to_its_address(exposed, address):
    exposed.client("s3").create_bucket(Bucket=BUCKET)
    exposed.client("s3").put_object(Bucket=BUCKET, Key="in/a.txt", Body=b"alpha")
    exposed.create("out-there", ["epochs"], channels={"train": f"s3://{BUCKET}/in/"})
    assert exposed.ended("out-there")["TrainingJobStatus"] == "Completed"

    command = [sys.executable, "-m", "local_mode", "env", "--root", str(exposed.root)]
    said = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=True).stdout
    assert f"export AWS_ENDPOINT_URL={exposed.url}\n" in said
    assert f"export NO_PROXY=127.0.0.1,localhost,{address}\n" in said


def test_endpoint_on_all_addresses_is_called_by_the_names_that_were_given(tmp_path, address):
    server = Server.start(tmp_path, "--address", "0.0.0.0", "--exposed", "--name", address)
    try:
        assert server.url.startswith("http://127.0.0.1:")
        assert [status(server, address, host) for host in (address, "box.example")] == [200, 403]
        assert status(server, "127.0.0.1", "localhost") == 200
    finally:
        assert server.end() == 0


def test_endpoint_in_the_background_warns_whoever_starts_it(tmp_path, address):
    root = ("--root", str(tmp_path / "root"))
    options = ("--background", "--port", "0", "--address", address, "--exposed", *root)
    program = [sys.executable, "-m", "local_mode"]
    # Not its output's pipe: the endpoint in the background outlives the command.
    with (tmp_path / "said").open("w") as said:
        subprocess.run([*program, "serve", *options], env=environment(), stderr=said, timeout=60, check=True)
    try:
        assert "WARNING: the endpoint listens on" in (tmp_path / "said").read_text()
        assert json.loads((tmp_path / "root" / "endpoint.json").read_text())["url"].startswith(f"http://{address}:")
    finally:
        subprocess.run([*program, "down", *root], env=environment(), timeout=60, check=True)
