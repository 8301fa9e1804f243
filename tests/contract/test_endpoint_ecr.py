"""The endpoint's ECR before a registry of this machine: it says to push there, and tells of what lies there."""

import base64
import hashlib
import json
import time

import pytest
from botocore.exceptions import ClientError

from local_mode.aws_ecr import password
from tests.contract.endpoint import Server
from tests.faulty_registry import Fault, FaultyRegistry

ACCOUNT = "123456789012"
DOCUMENT = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
MANIFEST = json.dumps({**DOCUMENT, "config": {"digest": "sha256:" + "c" * 64, "size": 7}, "layers": []}).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
NAME = "images/a"
HERE = {"repositoryName": NAME}


@pytest.fixture(scope="module")
def registry():
    made = FaultyRegistry(user=f"AWS:{password(ACCOUNT)}")
    with made.served():
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory, registry):
    started = Server.start(tmp_path_factory.mktemp("ecr"), "--registry", registry.host)
    yield started
    started.end()


@pytest.fixture
def ecr(server, registry):
    client = server.client("ecr")
    client.create_repository(**HERE, imageTagMutability="IMMUTABLE")
    yield client
    registry.manifests.clear()
    registry.faults.clear()
    client.delete_repository(**HERE, force=True)


def test_repository_is_pushed_to_at_the_registry(ecr, registry):
    (found,) = ecr.describe_repositories(repositoryNames=[NAME])["repositories"]

    assert found["repositoryUri"] == f"{registry.host}/{NAME}"
    assert found["imageTagMutability"] == "IMMUTABLE"


def test_repository_of_another_region_is_pushed_to_at_the_registry_too(server, registry):
    ecr = server.client("ecr", region_name="eu-central-1")

    assert ecr.create_repository(**HERE)["repository"]["repositoryUri"] == f"{registry.host}/{NAME}"


def test_token_is_good_at_the_registry_and_for_some_hours(ecr, registry):
    (told,) = ecr.get_authorization_token()["authorizationData"]

    assert base64.b64decode(told["authorizationToken"]).decode() == registry.user
    assert told["proxyEndpoint"] == f"http://{registry.host}"
    assert told["expiresAt"].timestamp() > time.time() + 3600


def test_images_are_those_that_the_registry_has(ecr, registry):
    assert ecr.list_images(**HERE)["imageIds"] == []
    registry.manifests |= dict.fromkeys(((NAME, "1"), (NAME, "same"), ("other", "2")), MANIFEST)

    assert ecr.list_images(**HERE)["imageIds"] == [{"imageDigest": DIGEST, "imageTag": tag} for tag in ("1", "same")]
    (image,) = ecr.describe_images(**HERE, imageIds=[{"imageTag": "same"}])["imageDetails"]
    assert (image["imageDigest"], image["imageTags"]) == (DIGEST, ["1", "same"])
    (got,) = ecr.batch_get_image(**HERE, imageIds=[{"imageDigest": DIGEST}])["images"]
    assert got["imageManifest"].encode() == MANIFEST

    registry.manifests.clear()
    assert ecr.list_images(**HERE)["imageIds"] == []


def test_scan_is_told_as_one_that_was_not_made(ecr, registry):
    registry.manifests[NAME, "1"] = MANIFEST

    told = ecr.describe_image_scan_findings(**HERE, imageId={"imageDigest": DIGEST})

    assert told["imageScanStatus"] == {"status": "UNSUPPORTED_IMAGE", "description": "local_mode has no scanner"}
    assert "imageScanFindings" not in told
    with pytest.raises(ClientError, match="UnsupportedImageTypeException.*local_mode has no scanner"):
        ecr.start_image_scan(**HERE, imageId={"imageTag": "1"})


def test_image_that_the_registry_lacks_is_not_found(ecr):
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        ecr.describe_image_scan_findings(**HERE, imageId={"imageTag": "1"})


def test_image_cannot_be_put_past_the_registry(ecr, registry):
    with pytest.raises(ClientError, match=f"NotImplemented.*images are pushed to {registry.host} itself"):
        ecr.put_image(**HERE, imageManifest=MANIFEST.decode(), imageTag="1")


def test_registry_that_fails_is_a_failure_of_ecrs(ecr, registry):
    registry.faults = [Fault(method="GET", path="tags/list", status=503)]

    with pytest.raises(ClientError, match=rf"ServerException.*{registry.host} does not tell what it has: HTTP 503"):
        ecr.list_images(**HERE)


def test_registry_of_another_machine_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="--registry is 'ghcr.io'; give one of this machine, as in localhost:5000"):
        Server.start(tmp_path, "--registry", "ghcr.io")
