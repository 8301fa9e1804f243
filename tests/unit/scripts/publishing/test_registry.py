"""What a registry has, asked for by its HTTP API."""

import base64
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from local_mode.api.certificates import Authority
from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.registry import Registry
from scripts.publishing.target import Credentials, Target
from tests.faulty_registry import Fault

DOCUMENT = {
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"digest": "sha256:" + "c" * 64},
}


def ask(host, *, insecure=True, user="", reference="1"):
    name, _, password = user.partition(":")
    credentials = Credentials(user=name, password=password) if user else None
    return Registry(target=Target(registry=host, repository="r", credentials=credentials), insecure=insecure).manifest(
        reference
    )


def test_manifest_is_told_by_its_digest_and_its_configuration(registry):
    registry.manifests["r", "1"] = json.dumps(DOCUMENT).encode()

    found = ask(registry.host)

    assert found.is_of(DOCUMENT["config"]["digest"])
    assert found.is_of(found.digest)
    assert not found.is_of("sha256:" + "d" * 64)


def test_tag_that_is_not_there_is_nothing(registry):
    assert ask(registry.host) is None


def test_registry_that_is_not_trusted_blindly_is_asked_by_https_alone(registry):
    registry.manifests["r", "1"] = json.dumps(DOCUMENT).encode()

    with pytest.raises(TransientError, match=f"The registry '{registry.host}' does not answer: .*SSL"):
        ask(registry.host, insecure=False)
    assert registry.asked("GET") == []


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (429, TransientError, r"fails \(HTTP 429: TOO slow\)"),
        (503, TransientError, r"fails \(HTTP 503: TOO slow\)"),
        (403, PublishError, r"does not let this user at 'r' \(HTTP 403: TOO slow\); ask its owner"),
        (400, PublishError, r"refuses the request for 'r' \(HTTP 400: TOO slow\)"),
    ],
)
def test_refusal_has_the_registrys_own_words(registry, status, error, text):
    body = {"errors": [{"code": "TOO", "message": "slow"}]}
    registry.faults = [Fault(method="GET", path="", status=status, body=body)]

    with pytest.raises(error, match=text) as caught:
        ask(registry.host)
    assert type(caught.value) is error


def test_refusal_in_no_form_of_registries_is_told_by_its_status(registry):
    registry.faults = [Fault(method="GET", path="", status=418, body=["tea"])]

    with pytest.raises(PublishError, match="HTTP 418"):
        ask(registry.host)


class _WithTokens(BaseHTTPRequestHandler):
    """Asks for a bearer token, and gives it to one user."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/token"):
            known = self.headers.get("Authorization") == server.basic
            return self._answer(200 if known else 401, {"token": "the-token"} if known else {"errors": []})
        if self.headers.get("Authorization") == "Bearer the-token":
            return self._answer(200, DOCUMENT)
        realm = server.realm or f"{server.scheme}://127.0.0.1:{server.server_address[1]}/token"
        return self._answer(401, {}, f'Bearer realm="{realm}",service="s",scope="repository:r:pull"')

    def _answer(self, status, document, challenge=""):
        body = json.dumps(document).encode()
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def with_tokens(realm="", certificate=None):
    server = HTTPServer(("127.0.0.1", 0), _WithTokens)
    server.realm, server.asked, server.scheme = realm, [], "https" if certificate else "http"
    server.basic = f"Basic {base64.b64encode(b'eve:secret').decode()}"
    if certificate:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_token_is_fetched_where_the_registry_asks_for_one():
    with with_tokens() as (host, server):
        assert ask(host, user="eve:secret").is_of(DOCUMENT["config"]["digest"])

    assert [path.partition("?")[0] for path, _ in server.asked[-3:]] == [
        "/v2/r/manifests/1",
        "/token",
        "/v2/r/manifests/1",
    ]
    assert "scope=repository%3Ar%3Apull" in server.asked[-2][0]


def test_user_who_gets_no_token_is_told_of():
    with with_tokens() as (host, _), pytest.raises(PublishError, match="does not take the credentials of user 'eve'"):
        ask(host, user="eve:wrong")


def test_token_is_not_fetched_in_the_clear_for_a_registry_of_https():
    with (
        with_tokens(realm="file:///etc/passwd") as (host, _),
        pytest.raises(PublishError, match="'file:///etc/passwd'"),
    ):
        ask(host, user="eve:secret")


def test_registry_of_this_machine_may_have_a_certificate_that_nobody_vouches_for(tmp_path):
    authority = Authority(certificate=tmp_path / "ca.pem", key=tmp_path / "key.pem")
    context = authority.context("s3.amazonaws.com")

    with with_tokens(certificate=context) as (host, _):
        assert ask(host, user="eve:secret").is_of(DOCUMENT["config"]["digest"])
        with pytest.raises(TransientError, match="does not answer: .*certificate verify failed"):
            ask(host, user="eve:secret", insecure=False)


def test_registry_of_this_machine_is_not_asked_through_a_proxy(registry, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    registry.manifests["r", "1"] = json.dumps(DOCUMENT).encode()

    assert re.fullmatch("sha256:[0-9a-f]{64}", ask(registry.host).digest)
