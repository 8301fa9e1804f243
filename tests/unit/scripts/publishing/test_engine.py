"""An image in the engine, and what it is called in a registry."""

import docker
import pytest
import requests

from scripts.publishing.engine import Engine, LocalImage
from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.target import Target
from tests.fake_docker import LABELS, FakeDocker

COMMIT = "86c1e9789d40b66152388d0f61b07b59f60513db"
ID = "sha256:" + "a1" * 32
TARGET = Target(registry="r.example", repository="a")


def image(revision, version="0.1.0"):
    return LocalImage(name="a:dev", id=ID, version=version, revision=revision)


@pytest.mark.parametrize(
    ("revision", "tag"),
    [
        (COMMIT, "0.1.0-86c1e9789d40"),
        (f"{COMMIT}-dirty", "0.1.0-86c1e9789d40-dirty-a1a1a1a1a1a1"),
        ("unknown", "0.1.0-unknown-a1a1a1a1a1a1"),
    ],
)
def test_tag_has_version_and_commit_and_the_content_where_that_is_no_commits(revision, tag):
    assert image(revision).tag == tag
    assert image(revision).is_of_a_commit == (revision == COMMIT)


def test_tag_is_one_that_registries_take():
    assert image(COMMIT, version="1.0+local").tag == "1.0-local-86c1e9789d40"


def test_image_that_is_not_built_is_told_with_the_command_that_builds_it():
    with pytest.raises(PublishError, match="no image 'a:dev'; run: make build/pytorch"):
        Engine(FakeDocker()).find("a:dev", how="make build/pytorch")


def test_image_without_labels_is_none_of_ours():
    client = FakeDocker(names=["a:dev"], labels={})

    with pytest.raises(PublishError, match="'a:dev' does not say of which version and commit it is; run: make build/a"):
        Engine(client).find("a:dev", how="make build/a")


def test_image_is_found_with_what_it_was_built_from():
    found = Engine(FakeDocker(names=["a:dev"])).find("a:dev", how="")

    assert (found.version, found.revision) == tuple(LABELS.values())


@pytest.mark.parametrize(
    ("registry", "blindly"),
    [
        ("localhost:5000", True),
        ("10.1.2.3:5000", True),
        ("192.168.1.1:5000", False),
        ("named.example:5000", True),
        ("secure.example", False),
        ("ghcr.io", False),
    ],
)
def test_registry_is_trusted_as_the_engine_trusts_it(registry, blindly):
    client = FakeDocker()
    client.registry_config = {
        "InsecureRegistryCIDRs": ["127.0.0.0/8", "10.0.0.0/8"],
        "IndexConfigs": {"named.example:5000": {"Secure": False}, "secure.example": {"Secure": True}},
    }

    assert Engine(client).trusts_blindly(registry) is blindly


def failing(error):
    client = FakeDocker()

    def push(*_, **__):
        raise error

    client.push = push
    return Engine(client)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (requests.exceptions.ReadTimeout("silent"), TransientError, "The Docker engine broke off: silent"),
        (ConnectionResetError(104, "reset"), TransientError, "The Docker engine broke off"),
        (docker.errors.APIError("500", explanation="no basic auth credentials"), PublishError, "asks for credentials"),
    ],
)
def test_engine_that_fails_is_an_error_that_says_so(error, kind, text):
    with pytest.raises(kind, match=text):
        failing(error).push(TARGET, "1", lambda _: None)


def test_engine_that_says_nothing_of_the_end_did_not_push():
    client = FakeDocker()
    client.push = lambda *_, **__: iter([{"status": "The push refers to repository [r.example/a]"}])

    with pytest.raises(TransientError, match="ended the upload of 'r.example/a:1' without saying how"):
        Engine(client).push(TARGET, "1", lambda _: None)


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        (["Retrying in 5 seconds"], PublishError),
        (["Retrying in 5 seconds", "Pushed"], TransientError),
        (["Pushing"], TransientError),
    ],
)
def test_layer_that_the_engine_tried_again_and_again_is_not_tried_again_by_us(before, kind):
    client = FakeDocker()
    client.push = lambda *_, **__: iter(
        [*({"id": "0123456789ab", "status": status} for status in before), {"error": "EOF"}]
    )

    with pytest.raises(kind, match="broke off .EOF") as caught:
        Engine(client).push(TARGET, "1", lambda _: None)
    assert type(caught.value) is kind
    assert ("The engine has tried five times" in str(caught.value)) == (kind is PublishError)
