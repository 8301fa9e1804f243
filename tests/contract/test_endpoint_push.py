"""`make push` to ECR, whole, as the endpoint stands in for it; an engine at the SDK's seam, a registry over HTTP."""

import pytest

from local_mode.aws_ecr import password
from scripts import push_image
from tests.contract.endpoint import Server
from tests.fake_docker import LABELS, NAME, TAG, FakeDocker
from tests.faulty_registry import FaultyRegistry

TOKEN = password("123456789012")


@pytest.fixture
def registry():
    made = FaultyRegistry(user=f"AWS:{TOKEN}")
    with made.served():
        yield made


@pytest.fixture
def server(tmp_path, registry):
    started = Server.start(tmp_path, "--registry", registry.host)
    yield started
    started.end()


@pytest.fixture
def engine(monkeypatch, tmp_path, server):
    client, found = FakeDocker(), server.found
    settings = {
        "AWS_ENDPOINT_URL": found["url"],
        "AWS_ACCESS_KEY_ID": found["access_key"],
        "AWS_SECRET_ACCESS_KEY": found["secret"],
        "AWS_REGION": "eu-west-1",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(push_image, "check_engine", lambda: None)
    monkeypatch.setattr(push_image.revision, "read", lambda: LABELS["org.opencontainers.image.revision"])
    monkeypatch.setattr(push_image.docker, "from_env", lambda **_: client)
    return client


def push(tmp_path, *arguments):
    return push_image.main(["pytorch", "--output", str(tmp_path / "pushed"), *arguments])


def test_push_makes_the_repository_and_leaves_no_credentials(engine, server, registry, tmp_path, capfd):
    assert push(tmp_path, "--fail-on", "never") == 0

    out, err = capfd.readouterr()
    ecr = server.client("ecr", region_name="eu-west-1")
    (made,) = ecr.describe_repositories()["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert '"tagStatus": "any"' in ecr.get_lifecycle_policy(repositoryName=NAME)["lifecyclePolicyText"]
    (image,) = ecr.describe_images(repositoryName=NAME)["imageDetails"]
    assert image["imageTags"] == [TAG]
    assert out == f"{registry.host}/{NAME}@{image['imageDigest']}\n"
    assert "ECR of account 123456789012 in eu-west-1" in err
    assert engine.auth == [{"username": "AWS", "password": TOKEN}]
    assert TOKEN not in out + err
    assert not (tmp_path / "docker").exists()


def test_second_push_finds_repository_and_image(engine, registry, tmp_path, capfd):
    assert push(tmp_path, "--fail-on", "never") == 0
    first = capfd.readouterr().out
    received = registry.received

    assert push(tmp_path, "--fail-on", "never") == 0

    out, err = capfd.readouterr()
    assert out == first
    assert registry.received == received
    assert "nothing to push" in err
    assert "made the ECR repository" not in err


def test_image_that_was_not_scanned_is_pushed_and_not_handed_on(engine, registry, tmp_path, capfd):
    assert push(tmp_path) == 1

    out, err = capfd.readouterr()
    assert out == ""
    assert "UNSUPPORTED_IMAGE (local_mode has no scanner)" in err
    assert registry.tags == [TAG]
    assert not (tmp_path / "pushed").exists()
