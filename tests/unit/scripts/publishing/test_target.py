"""Where an image goes, and what `docker login` has kept for it."""

import base64
import json

import pytest

from scripts.publishing.errors import PublishError
from scripts.publishing.target import Credentials, is_loopback, logged_in, parse_registry


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:5000", ("localhost:5000", "r")),
        ("localhost", ("localhost", "r")),
        ("ghcr.io/team/images", ("ghcr.io", "team/images/r")),
    ],
)
def test_registry_is_a_host_and_the_rest_a_path(text, expected):
    assert parse_registry(text, "r") == expected


@pytest.mark.parametrize("text", ["http://localhost:5000", "team", "/r", "ghcr.io/"])
def test_what_is_no_registry_is_refused_with_an_example(text):
    with pytest.raises(PublishError, match=f"'{text}' is no registry; write it as in REGISTRY=localhost:5000"):
        parse_registry(text, "r")


@pytest.mark.parametrize(
    ("registry", "here"),
    [
        ("localhost:5000", True),
        ("127.0.0.2", True),
        ("[::1]:5000", True),
        ("localhost.example:5000", False),
        ("ghcr.io", False),
    ],
)
def test_registries_of_this_machine_are_told_from_others(registry, here):
    assert is_loopback(registry) is here


def test_what_docker_login_kept_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auth = base64.b64encode(b"eve:secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example:5000": {"auth": auth}}}))

    assert logged_in("r.example:5000", {}) == Credentials(user="eve", password="secret")
    assert logged_in("other.example", {}) is None


def test_what_a_credential_helper_keeps_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "of-test"}}))
    helper = tmp_path / "docker-credential-of-test"
    helper.write_text('#!/bin/sh\necho \'{"ServerURL": "r.example", "Username": "eve", "Secret": "kept"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert logged_in("r.example", {}) == Credentials(user="eve", password="kept")


def test_identity_token_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example": {"identitytoken": "t"}}}))

    with pytest.raises(PublishError, match="'r.example' is an identity token.*an access token"):
        logged_in("r.example", {})


@pytest.mark.filterwarnings("ignore:docker-credential-not-there")  # the SDK says so, and then raises
def test_helper_that_fails_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "not-there"}}))

    with pytest.raises(PublishError, match="'r.example' cannot be read: .*not-there"):
        logged_in("r.example", {})
