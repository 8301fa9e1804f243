"""The proxy on the endpoint's port: AWS's names end here, all others are reached as before."""

import base64
import contextlib
import http.client
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ProxyConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local_mode.api import tunnel
from local_mode.endpoint import Endpoint, Files
from local_mode.shell import variables
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually

pytestmark = pytest.mark.contract("endpoint", "U")

ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "virtual"})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture
def led(server, monkeypatch):
    """The variables of `env`, set; without the one that makes the proxy unnecessary."""
    return lead(server, monkeypatch, {})


def lead(server, monkeypatch, caller):
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    found = variables(Files(root=server.root), Endpoint(**server.found), caller)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    return found


def client(service, region="us-east-1", **settings):
    return boto3.session.Session().client(service, region_name=region, config=ONCE, **settings)


class Elsewhere:
    """A TLS server of someone else, with a certificate of its own, on loopback."""

    def __init__(self, folder):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "someone else")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = folder / "elsewhere.pem"
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = folder / "elsewhere_key.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, private)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port = self._listener.getsockname()[1]
        self.heads = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                with contextlib.suppress(OSError, ssl.SSLError), stream:
                    stream.settimeout(20)
                    with self._context.wrap_socket(stream, server_side=True) as tls:
                        self.heads.append(tls.recv(65536))
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3000005\r\nConnection: close\r\n\r\n")
                        tls.sendall(b"hello" + b"x" * 3_000_000)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


@pytest.fixture
def elsewhere(tmp_path):
    made = Elsewhere(tmp_path)
    yield made
    made.close()


def get(url, certificate):
    handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(certificate)))]
    with urllib.request.build_opener(*handlers).open(url, timeout=20) as answer:
        return answer.read()


def connect(server, target, *headers, then=b""):
    """What the endpoint answers to a CONNECT, whole."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 20) as stream:
        head = "\r\n".join([f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers, "", ""])
        stream.sendall(head.encode("latin-1") + then)
        return b"".join(iter(lambda: stream.recv(65536), b""))


def credentials(led):
    url = urlsplit(led["HTTPS_PROXY"])
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{url.username}:{url.password}".encode()).decode()


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2"])
def test_client_pinned_to_aws_own_address_is_answered_here(led, region):
    pinned = client("sts", region, endpoint_url=f"https://sts.{region}.amazonaws.com")

    assert pinned.get_caller_identity()["Account"] == "123456789012"


def test_every_service_is_answered_at_its_default_address(led):
    assert client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert client("iam").get_role(RoleName="any")["Role"]["RoleName"] == "any"
    assert client("logs").describe_log_groups()["logGroups"] == []
    assert client("ecr").describe_repositories()["repositories"] == []


def test_bucket_in_the_name_of_the_host_is_the_bucket_in_the_path(led, server):
    ours, direct = client("s3"), server.client("s3")
    ours.create_bucket(Bucket="virtual-bucket")
    key, body = "a folder/ü+?&=%2F.txt", b"x" * 3_000_000
    ours.put_object(Bucket="virtual-bucket", Key=key, Body=body, Metadata={"with_underscore": "1"})
    found = direct.get_object(Bucket="virtual-bucket", Key=key)
    assert (found["Body"].read(), found["Metadata"]) == (body, {"with_underscore": "1"})

    direct.put_object(Bucket="virtual-bucket", Key="second", Body=b"2")
    assert [item["Key"] for item in ours.list_objects_v2(Bucket="virtual-bucket")["Contents"]] == [key, "second"]
    assert ours.head_bucket(Bucket="virtual-bucket")["ResponseMetadata"]["HTTPStatusCode"] == 200
    ours.delete_object(Bucket="virtual-bucket", Key="second")
    assert [item["Key"] for item in direct.list_objects_v2(Bucket="virtual-bucket")["Contents"]] == [key]


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("style", ["virtual", "path"])
def test_presigned_url_works_in_either_version_and_style(led, server, version, style):
    name = f"presigned-{version}-{style}"
    settings = Config(signature_version=version, s3={"addressing_style": style})
    s3 = boto3.session.Session().client("s3", region_name="us-east-1", config=settings)
    client("s3").create_bucket(Bucket=name)
    client("s3").put_object(Bucket=name, Key="a b", Body=b"hello")

    url = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a b"})
    assert get(url, led["AWS_CA_BUNDLE"]) == b"hello"
    # The endpoint's own address gives such URLs, too.
    local = boto3.session.Session().client(
        "s3", region_name="us-east-1", config=Config(signature_version=version), endpoint_url=server.url
    )
    with urllib.request.urlopen(
        local.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a b"}), timeout=20
    ) as answer:
        assert answer.read() == b"hello"


def test_wrong_key_is_refused_at_aws_own_address_as_well(led):
    with pytest.raises(ClientError, match="InvalidSignatureException|SignatureDoesNotMatch"):
        client("sts", aws_access_key_id=led["AWS_ACCESS_KEY_ID"], aws_secret_access_key="x").get_caller_identity()


@pytest.mark.parametrize("service", ["ec2", "bedrock-runtime", "sagemaker-runtime", "dynamodb"])
def test_every_other_service_of_aws_is_refused_and_noted(led, server, service):
    calls = {
        "ec2": ("describe_instances", {}),
        "bedrock-runtime": ("converse", {"modelId": "m", "messages": []}),
        "sagemaker-runtime": ("invoke_endpoint", {"EndpointName": "e", "Body": b""}),
        "dynamodb": ("list_tables", {}),
    }
    name, arguments = calls[service]
    with pytest.raises(ProxyConnectionError):
        getattr(client(service), name)(**arguments)

    assert (
        f"refused a connection to {urlsplit(client(service).meta.endpoint_url).hostname}:443" in server.log.read_text()
    )


def test_refusal_says_whom_it_refused_and_what_to_do(led, server):
    head, _, body = connect(server, "ec2.us-east-1.amazonaws.com:443", credentials(led)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 403 local_mode does not stand in for ec2.us-east-1.amazonaws.com\r\n")
    assert b"lets no call of this shell reach AWS" in body


@pytest.mark.parametrize("target", ["sts.amazonaws.com:80", "STS.AMAZONAWS.COM.:8443", "169.amazonaws.com:443"])
def test_no_name_of_aws_is_passed_on_at_any_port(led, server, target):
    assert connect(server, target, credentials(led)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("host", ["sts.us-east-1.amazonaws.com", "bucket.s3.amazonaws.com", "pypi.org"])
def test_plain_http_for_another_host_is_refused(server, host):
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    connection.request("GET", f"http://{host}/", headers={"Host": host})
    answer = connection.getresponse()

    assert answer.status == 403
    assert b"for https only" in answer.read()
    connection.close()


@pytest.mark.parametrize(
    "header",
    [
        "X-Nothing: 1",
        "Proxy-Authorization: Basic " + base64.b64encode(b"local_mode:guess").decode(),
        "Proxy-Authorization: Basic ???",
        "Proxy-Authorization: Bearer x",
    ],
)
@pytest.mark.parametrize("target", ["sts.amazonaws.com:443", "127.0.0.1:22", "pypi.org:443"])
def test_proxy_is_for_those_who_have_its_password(server, header, target):
    answer = connect(server, target, header)

    assert answer.startswith(b"HTTP/1.1 407 ")
    assert b'Proxy-Authenticate: Basic realm="local_mode"' in answer


def test_password_for_another_user_name_is_refused(led, server):
    password = urlsplit(led["HTTPS_PROXY"]).password
    coded = base64.b64encode(f"somebody:{password}".encode()).decode()

    assert connect(server, "pypi.org:443", f"Proxy-Authorization: Basic {coded}").startswith(b"HTTP/1.1 407 ")


@pytest.mark.parametrize("target", ["sts.amazonaws.com", "sts.amazonaws.com:x", ":443", "a:99999", "/path"])
def test_connect_to_no_host_and_port_is_refused(led, server, target):
    assert connect(server, target, credentials(led)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", ["sts.\xaamazonaws.com:443", "sts.amazon\xadaws.com:443"])
def test_letters_that_a_resolver_would_make_a_name_of_aws_are_refused(led, server, target):
    assert connect(server, target, credentials(led)).startswith(b"HTTP/1.1 400 ")


def test_other_hosts_are_reached_untouched(led, elsewhere, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    body = get(f"https://localhost:{elsewhere.port}/file", elsewhere.certificate)

    assert (body[:5], len(body)) == (b"hello", 3_000_005)
    assert b"Proxy-Authorization" not in elsewhere.heads[0]


def test_host_that_is_not_there_is_said_to_be_unreachable(led, server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = connect(server, f"127.0.0.1:{port}", credentials(led))

    assert answer.startswith(b"HTTP/1.1 502 Cannot reach 127.0.0.1")


def test_proxy_before_ours_that_cannot_be_one_is_said_to_be_so(server, monkeypatch):
    led = lead(server, monkeypatch, {"https_proxy": "http://proxy:port"})
    answer = connect(server, "pypi.org:443", credentials(led))

    assert answer.startswith(b"HTTP/1.1 502 Cannot reach pypi.org")
    assert b"'port'" in answer


def test_connection_that_breaks_after_its_start_harms_nobody(led, server):
    context = ssl.create_default_context(cafile=led["AWS_CA_BUNDLE"])
    address = urlsplit(server.url)
    through = http.client.HTTPSConnection(address.hostname, address.port, timeout=20, context=context)
    name, _, value = credentials(led).partition(": ")
    through.set_tunnel("sts.amazonaws.com", 443, headers={name: value})
    through.connect()
    with socket.socket(fileno=through.sock.detach()) as bare:
        bare.sendall(b"no TLS at all" * 10)
        bare.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while bare.recv(4096):
                pass

    eventually(lambda: "TLS with a client that asked for sts.amazonaws.com broke" in server.log.read_text())
    assert client("sts").get_caller_identity()["Account"] == "123456789012"


def test_proxy_that_the_shell_had_is_gone_through(server, elsewhere, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        heads = []

        def corporate():
            stream, _ = listener.accept()
            with stream, socket.create_connection(("127.0.0.1", elsewhere.port)) as onward:
                stream.settimeout(20)
                while b"\r\n\r\n" not in b"".join(heads):
                    heads.append(stream.recv(65536))
                stream.sendall(b"HTTP/1.0 200 fine\r\nVia: corporate\r\n\r\n")
                tunnel.join(stream, onward, 20)

        thread = threading.Thread(target=corporate, daemon=True)
        thread.start()
        before = f"http://me:pa%40ss@127.0.0.1:{listener.getsockname()[1]}"
        lead(server, monkeypatch, {"https_proxy": before})
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        body = get(f"https://localhost:{elsewhere.port}/file", elsewhere.certificate)
        thread.join(20)

    assert (body[:5], len(body)) == (b"hello", 3_000_005)
    head = b"".join(heads).decode()
    assert head.startswith(f"CONNECT localhost:{elsewhere.port} HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:pa@ss').decode()}" in head


@pytest.mark.parametrize("program", ["curl", "pip"])
def test_other_programs_of_the_shell_go_through_the_proxy(led, elsewhere, tmp_path, program):
    url, certificate = f"https://localhost:{elsewhere.port}", str(elsewhere.certificate)
    commands = {
        "curl": ["curl", "--silent", "--max-time", "20", "--cacert", certificate, f"{url}/wanted"],
        "pip": [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--retries", "0", "download",
                "--no-deps", "--index-url", url, "--cert", certificate, "--dest", str(tmp_path), "wanted"],
    }  # fmt: skip

    def run(proxy):
        caller = {**led, **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy), "NO_PROXY": "", "no_proxy": ""}
        caller |= {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        subprocess.run(commands[program], env=caller, capture_output=True, check=False, timeout=60)
        return [head.split(b" ")[1] for head in elsewhere.heads]

    assert run(led["HTTPS_PROXY"].replace("local_mode:", "local_mode:not")) == []
    assert run(led["HTTPS_PROXY"]) == [{"curl": b"/wanted", "pip": b"/wanted/"}[program]]


def test_name_of_aws_counts_on_its_own_tls_connection_alone(led, server):
    address = urlsplit(server.url)
    plain = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    plain.request("GET", "/", headers={"Host": "sts.amazonaws.com"})
    assert plain.getresponse().status == 403
    plain.close()

    context = ssl.create_default_context(cafile=led["AWS_CA_BUNDLE"])
    for host, words in (("iam.amazonaws.com", b"is not whom"), ("127.0.0.1", b"is not whom"), ("", b"Missing")):
        through = http.client.HTTPSConnection(address.hostname, address.port, timeout=20, context=context)
        name, _, value = credentials(led).partition(": ")
        through.set_tunnel("sts.amazonaws.com", 443, headers={name: value})
        through.request("GET", "/", headers={"Host": host} if host else {})
        answer = through.getresponse()
        assert answer.status == 403
        assert words in answer.read(), host
        through.close()


def test_tunnel_within_a_connection_that_ends_here_is_refused(led, server):
    context = ssl.create_default_context(cafile=led["AWS_CA_BUNDLE"])
    address = urlsplit(server.url)
    through = http.client.HTTPSConnection(address.hostname, address.port, timeout=20, context=context)
    name, _, value = credentials(led).partition(": ")
    through.set_tunnel("sts.amazonaws.com", 443, headers={name: value})
    through.connect()
    through.sock.sendall(f"CONNECT pypi.org:443 HTTP/1.1\r\n{name}: {value}\r\n\r\n".encode())

    assert through.sock.recv(100).startswith(b"HTTP/1.1 400 ")
    through.close()


def test_client_that_does_not_trust_the_authority_is_noted(led, server):
    address = urlsplit(server.url)
    through = http.client.HTTPSConnection(address.hostname, address.port, timeout=20)
    name, _, value = credentials(led).partition(": ")
    through.set_tunnel("telemetry.s3.us-east-1.amazonaws.com", 443, headers={name: value})
    with pytest.raises(ssl.SSLCertVerificationError):
        through.connect()
    through.close()

    eventually(lambda: "no TLS with a client that asked for telemetry.s3" in server.log.read_text())


def test_files_of_the_authority_are_their_owners_alone(led, server):
    for path in (server.root / "ca_key.pem", server.root / "ca.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [path for path in server.root.iterdir() if path.name.startswith(".leaf")]


def test_tunnel_without_a_byte_ends_after_its_time():
    ours, one = socket.socketpair()
    other, theirs = socket.socketpair()
    began = time.monotonic()
    with ours, one, other, theirs:
        tunnel.join(one, other, idle=0.2)
        assert 0.15 < time.monotonic() - began < 5
        assert ours.recv(1) == theirs.recv(1) == b""


def test_tunnel_lets_one_side_end_before_the_other():
    ours, one = socket.socketpair()
    other, theirs = socket.socketpair()
    with ours, one, other, theirs:
        joined = threading.Thread(target=tunnel.join, args=(one, other, 10), daemon=True)
        joined.start()
        ours.sendall(b"question")
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(100) == b"question"
        assert theirs.recv(100) == b""
        theirs.sendall(b"answer")
        theirs.shutdown(socket.SHUT_WR)
        assert ours.recv(100) == b"answer"
        joined.join(10)
        assert not joined.is_alive()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 who are you\r\n\r\n", "says 407 who are you"),
        (b"SSH-2.0-hello\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP|closed"),
    ],
)
def test_proxy_before_ours_that_will_not_is_quoted(answer, words):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve():
            stream, _ = listener.accept()
            with stream:
                stream.recv(65536)
                stream.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(OSError, match=words):
            tunnel.dial("pypi.org", 443, f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join(20)


def test_proxy_before_ours_of_another_kind_is_refused():
    with pytest.raises(OSError, match="is a socks5 one; only http and https are known"):
        tunnel.dial("pypi.org", 443, "socks5://127.0.0.1:1")


def test_bucket_of_the_embedded_s3_is_not_seen_by_a_request_without_a_signature(led, server):
    server.client("s3").create_bucket(Bucket=BUCKET)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"https://{BUCKET}.s3.amazonaws.com/", led["AWS_CA_BUNDLE"])
