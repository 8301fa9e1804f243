"""A push as a whole: over HTTP to a registry that may misbehave; only the engine stands in for a real one."""

import pytest

from scripts.publishing.errors import PublishError, TransientError
from tests.fake_docker import LAYERS, NAME, TAG, FakeDocker
from tests.faulty_registry import DENIED, FULL, RESET, Fault

PATCH = {"method": "PATCH", "path": "/blobs/uploads/"}


def test_image_lies_in_the_registry_by_the_tag_and_the_digest_that_is_answered(bench):
    digest = bench.push()

    assert (NAME, digest) in bench.registry.manifests
    assert bench.registry.tags == [TAG]
    assert set(LAYERS) <= set(bench.registry.blobs.values())
    assert bench.docker.names[f"{bench.target().name}@{digest}"] == bench.docker.image.id
    assert bench.docker.names[f"{bench.target().name}:{TAG}"] == bench.docker.image.id


def test_second_push_uploads_nothing_and_says_so(bench):
    first = bench.push()
    received = bench.registry.received

    assert bench.push() == first
    assert bench.registry.received == received
    assert "is there already, and is this very image: nothing to push" in bench.said[-1]


def test_engine_learns_the_digest_of_an_image_that_another_machine_has_pushed(bench):
    digest = bench.push()
    bench.docker = FakeDocker()

    assert bench.push() == digest
    assert bench.docker.pulled == [f"{bench.target().name}@{digest}"]
    assert bench.engine.holds(bench.target().by_digest(digest))


def test_tag_that_names_other_content_is_not_moved_and_nothing_is_uploaded(bench):
    digest = bench.push()
    bench.docker = other = FakeDocker(layers=(b"another",))
    received = bench.registry.received

    with pytest.raises(PublishError, match=f"{TAG}' names another image already .*this machine's is {other.image.id}"):
        bench.push()
    assert bench.registry.received == received
    assert (NAME, digest) in bench.registry.manifests
    assert list(other.names) == [f"{NAME}:dev"]


def test_upload_that_broke_off_goes_on_after_the_layers_that_arrived(bench):
    bench.registry.faults = [Fault(**PATCH, status=RESET, times=1, after=100)]
    bench.docker.layers = (b"arrives" * 100, *LAYERS)
    bench.registry.blobs["sha256:" + "0" * 64] = b"of another image"

    bench.push()

    assert bench.waits == [2.0]
    assert any("broke off" in line and "attempt 2 of 3 in 2 s" in line for line in bench.said)
    assert bench.registry.tags == [TAG]


def test_layers_that_arrived_are_not_sent_again(bench):
    second = Fault(**PATCH, status=RESET, times=1, after=100)
    bench.push()  # what a whole push sends
    whole = bench.registry.received
    bench.registry.manifests.clear()
    bench.registry.blobs.pop(next(digest for digest, blob in bench.registry.blobs.items() if blob == LAYERS[1]))
    bench.registry.received = 0
    bench.registry.faults = [second]

    bench.push()

    assert any("layer already exists" in line for line in bench.said)
    assert len(LAYERS[1]) <= bench.registry.received < whole - len(LAYERS[0]) + 200


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Fault(**PATCH, status=RESET, after=100), TransientError, "upload to '127.0.0.1:.*' broke off .*reset by peer"),
        (Fault(**PATCH, status=500), TransientError, "'127.0.0.1:[0-9]+' fails .*500.*disk is the usual reason"),
        (Fault(**PATCH, status=507), PublishError, "disk of '127.0.0.1:[0-9]+', or the engine's own, is full .*507"),
        (Fault(method="POST", path="uploads", status=403, body=DENIED), PublishError,
         "permission ecr:InitiateLayerUpload is missing for 'vision-training-pytorch'"),
        (Fault(method="GET", path="manifests", status=403), PublishError, "does not let this user .*HTTP 403"),
        (Fault(method="GET", path="manifests", status=500), TransientError, "fails \\(HTTP 500"),
        (Fault(method="GET", path="manifests", status=RESET), TransientError, "does not answer: Connection reset"),
        (Fault(method="PUT", path="manifests", status=500), TransientError, "fails .*500"),
    ],
)  # fmt: skip
def test_failure_is_one_error_and_no_name_of_it_is_left_anywhere(bench, fault, error, text):
    bench.registry.faults = [fault]

    with pytest.raises(error, match=text):
        bench.push()
    assert bench.registry.tags == []
    assert list(bench.docker.names) == [f"{NAME}:dev"]
    assert bench.waits == ([2.0, 8.0] if error is TransientError else [])


def test_full_disk_of_a_registry_is_named_as_the_usual_reason(bench):
    bench.registry.faults = [Fault(**PATCH, status=500, body=FULL)]

    with pytest.raises(TransientError, match="unknown: unknown error.*disk"):
        bench.push(attempts=1)


def test_wrong_credentials_are_told_with_the_user_and_without_the_password(bench):
    bench.registry.user = "AWS:right"

    with pytest.raises(PublishError, match="does not take the credentials of user 'AWS' .*401.*log in anew") as caught:
        bench.push(user="AWS:wrong-password")
    assert "wrong-password" not in str(caught.value)
    assert bench.docker.auth == []
    assert bench.waits == []


def test_registry_that_asks_for_credentials_is_told_with_the_command_that_gives_them(bench):
    bench.registry.user = "AWS:right"

    with pytest.raises(PublishError, match=r"asks for credentials .*docker login 127.0.0.1"):
        bench.push()


def test_credentials_go_to_the_engine_with_the_push_and_to_no_file(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    bench.registry.user = "AWS:right"

    bench.push(user="AWS:right")

    assert bench.docker.auth == [{"username": "AWS", "password": "right"}]
    assert list(tmp_path.iterdir()) == []
    assert "right" not in repr(bench.target("AWS:right"))


def test_name_that_the_engine_had_before_is_given_back_after_a_failure(bench):
    name = bench.target().tagged(TAG)
    bench.docker.names[name] = "sha256:before"
    bench.registry.faults = [Fault(**PATCH, status=507)]

    with pytest.raises(PublishError, match="full"):
        bench.push()
    assert bench.docker.names[name] == "sha256:before"


def test_registry_that_nobody_listens_at_is_tried_three_times_and_named(bench):
    bench.registry.host = "127.0.0.1:1"

    with pytest.raises(TransientError, match="The registry '127.0.0.1:1' does not answer: Connection refused"):
        bench.push()
    assert bench.waits == [2.0, 8.0]


def test_push_that_the_registry_does_not_show_afterwards_is_an_error(bench):
    bench.docker.push = lambda *_, **__: iter([{"aux": {"Digest": "sha256:" + "1" * 64}}])

    with pytest.raises(PublishError, match="has nothing under .* after sha256:1111"):
        bench.push()
    assert list(bench.docker.names) == [f"{NAME}:dev"]
