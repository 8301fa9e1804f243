"""`make push` for real: images of a few files, this machine's engine, Debian's registry, and one that misbehaves."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import pytest

from scripts import push_image
from scripts.images.entry import Image, read_image
from tests import registry as debian
from tests.containers import miss, pull_elsewhere
from tests.contract.endpoint import Server
from tests.faulty_registry import DENIED, RESET, Fault, FaultyRegistry

COMMIT = "86c1e9789d40b66152388d0f61b07b59f60513db"
TAG = "0.1.0-86c1e9789d40"
SMALL, LARGE = 100_000, 60_000_000
"""Bytes of a layer, which nothing can compress."""
PUSH_SECONDS = 150
"""Bounds a push as a process; an engine alone tries for 50 s to bring a layer to a registry that is gone."""


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch, tmp_path):
    """None of whoever runs the tests; what a push would leave of its own lies there."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@dataclass
class Built:
    """An image under a name of its own, as `make build` would have left one."""

    client: object
    image: Image

    @property
    def id(self):
        return self.client.images.get(self.image.name()).id

    @property
    def names(self):
        """All by which the engine knows it but the one it was built under."""
        return sorted({*_names(self.client.images.get(self.image.name()))} - {self.image.name()})

    def build(self, *sizes, revision=COMMIT):
        """Layers of so many random bytes above a shell."""
        labels = {"version": "0.1.0", "revision": revision}
        changes = [f"LABEL org.opencontainers.image.{name}={value}" for name, value in labels.items()]
        self.client.api.import_image_from_data(
            _shell(), self.image.repository, "dev", changes=[*changes, "ENV PATH=/bin"]
        )
        for number, size in enumerate(sizes):
            container = self.client.containers.create(self.image.name(), ["sh"])
            try:
                assert container.put_archive("/", _file(f"layer-{number}", os.urandom(size)))
                container.commit(self.image.repository, "dev")
            finally:
                container.remove()


@pytest.fixture
def built(docker_client, monkeypatch):
    """What is pushed as `pytorch`; gone with every name that it gets."""
    repository = f"push-test-{uuid.uuid4().hex[:12]}"
    image = replace(read_image("pytorch"), repository=repository)
    monkeypatch.setattr(push_image, "read_image", lambda _: image)
    yield Built(docker_client, image)
    known = [name for found in docker_client.images.list() for name in _names(found)]
    forget(docker_client, *(name for name in known if f"{repository}:" in name or f"{repository}@" in name))


@pytest.fixture
def push(tmp_path, capfd):
    """Runs the command; its exit code, and what it said on stdout and stderr."""

    def run(host, *arguments):
        code = push_image.main(["pytorch", "--registry", host, "--output", str(tmp_path / "pushed"), *arguments])
        return code, *capfd.readouterr()

    return run


def _names(image):
    return [*(image.attrs.get("RepoTags") or ()), *(image.attrs.get("RepoDigests") or ())]


def forget(client, *names):
    """Take names away from images, and images that have no other with them."""
    for name in names:
        with contextlib.suppress(docker.errors.ImageNotFound):  # with the last tag of a repository go its digests
            client.images.remove(name, force=True)


def _shell():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("/bin/sh", "/bin/cat", *_libraries()):
            archive.add(Path(name).resolve(), arcname=name.lstrip("/"))
    return buffer.getvalue()


def _libraries():
    said = subprocess.run(["ldd", "/bin/sh", "/bin/cat"], capture_output=True, text=True, check=True).stdout
    return {word for line in said.splitlines() for word in line.split() if word.startswith("/") and word[-1] != ":"}


def _file(name, data):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_pushed_image_is_pulled_by_its_digest_and_runs_where_it_was_not(built, registry, push, run_container):
    built.build(SMALL, SMALL)
    image = built.id

    code, out, err = push(registry.host)

    assert code == 0, err
    uri = out.strip()
    assert built.client.images.get(uri).id == image
    assert registry.tags(built.image.repository) == {TAG: uri.partition("@")[2]}
    forget(built.client, *built.names, built.image.name())
    assert image not in {found.id for found in built.client.images.list(all=True)}

    built.client.images.pull(uri)

    assert built.client.images.get(uri).id == image
    assert run_container(uri, ["sh", "-c", "cat /layer-0 /layer-1 > /dev/null"]).exit_code == 0


def test_pushed_image_is_pulled_by_its_digest_and_runs_in_another_engine(built, registry, push, other_engine):
    built.build(SMALL)
    _, out, _ = push(registry.host)
    uri = out.strip()

    with contextlib.closing(pull_elsewhere(uri, registry, other_engine)) as client:
        assert client.images.get(uri).id == built.id
        said = client.containers.run(uri, ["sh", "-c", "cat /layer-0 > /dev/null && echo here"], network_mode="none")
        assert said == b"here\n"


def test_second_push_sends_nothing_and_says_so(built, registry, push):
    built.build(SMALL)
    _, first, _ = push(registry.host)
    blobs, names = registry.blobs(), built.names

    code, out, err = push(registry.host)

    assert (code, out) == (0, first)
    assert "is there already, and is this very image: nothing to push" in err
    assert (registry.blobs(), built.names) == (blobs, names)


def test_image_pushed_from_another_machine_is_known_by_its_digest_here(built, registry, push):
    built.build(SMALL)
    _, first, _ = push(registry.host)
    forget(built.client, *built.names)
    assert built.names == []

    code, out, err = push(registry.host)

    assert (code, out) == (0, first)
    assert "nothing to push" in err
    assert built.client.images.get(first.strip()).id == built.id


def test_tag_that_names_another_image_is_not_moved(built, registry, push):
    built.build(SMALL)
    push(registry.host)
    tags, blobs = registry.tags(built.image.repository), registry.blobs()
    built.build(SMALL)

    code, out, err = push(registry.host)

    assert (code, out) == (1, "")
    assert f"{TAG}' names another image already" in err
    assert built.id in err
    assert (registry.tags(built.image.repository), registry.blobs()) == (tags, blobs)
    assert built.names == []


def test_image_of_no_commit_gets_a_tag_of_its_own_each_time(built, registry, push):
    for _ in range(2):
        built.build(SMALL, revision=f"{COMMIT}-dirty")
        assert push(registry.host)[0] == 0

    tags = registry.tags(built.image.repository)
    assert len(tags) == 2
    assert all(tag.startswith(f"{TAG}-dirty-") for tag in tags)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            Fault(method="POST", path="uploads", status=403, body=DENIED),
            "permission ecr:InitiateLayerUpload is missing",
        ),
        (
            Fault(method="POST", path="uploads", status=403, body={"errors": [{"code": "DENIED", "message": "no"}]}),
            "does not let this user",
        ),
        (Fault(method="PUT", path="manifests", status=500), "HTTP 500"),
    ],
    ids=["missing-permission", "forbidden", "failing-at-the-tag"],
)
def test_failure_is_one_error_and_nothing_of_it_is_left(built, push, fault, told):
    built.build(SMALL)
    misbehaving = FaultyRegistry(faults=[fault])
    with misbehaving.served() as host:
        code, out, err = push(host, "--attempts", "1")

    assert (code, out) == (1, "")
    assert told in err
    assert [line.startswith("push_image: ") for line in err.splitlines()].count(True) == 1
    assert misbehaving.tags == []
    assert built.names == []


def test_connections_that_drop_in_the_middle_of_a_layer_are_made_again(built, push):
    built.build(SMALL)
    misbehaving = FaultyRegistry(faults=[Fault(method="PATCH", path="uploads", status=RESET, after=1000, times=1)])
    with misbehaving.served() as host:
        code, _, err = push(host)

    assert code == 0, err
    assert misbehaving.tags == [TAG]
    assert "broke off; retrying in" in err


def test_registry_that_drops_every_connection_is_one_error_in_the_end(built, push):
    built.build(SMALL)
    misbehaving = FaultyRegistry(faults=[Fault(method="PATCH", path="uploads", status=RESET, after=1000)])
    with misbehaving.served() as host:
        code, out, err = push(host)

    assert (code, out) == (1, "")
    assert f"The upload to '{host}' broke off" in err.splitlines()[-1]
    assert "attempt 2" not in err
    assert misbehaving.tags == []
    assert built.names == []


def test_wrong_credentials_are_one_error(built, tmp_path, push):
    built.build(SMALL)
    private = FaultyRegistry(user="eve:right")
    with private.served() as host:
        code, out, err = push(host)

    assert (code, out) == (1, "")
    assert f"'{host}' asks for credentials" in err
    assert f"docker login {host}" in err
    assert private.tags == []
    assert built.names == []


def test_full_disk_of_the_registry_is_one_error(built, tmp_path, push):
    if why := debian.why_not():
        miss(why)
    if os.geteuid():
        miss("only root may mount a file system of its own, to fill it")
    built.build(4_000_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True, timeout=20)
    registry = debian.Registry(disk)
    try:
        registry.start()
        code, out, err = push(registry.host)
    finally:
        registry.end()
        subprocess.run(["umount", disk], check=True, timeout=20)

    assert (code, out) == (1, "")
    assert "a full disk is the usual reason" in err.splitlines()[-1]
    assert built.names == []


@pytest.fixture
def pushing(built, tmp_path):
    """A function that starts the command as a process of its own, whose image is this test's."""
    code = (
        "import sys; from pathlib import Path; from scripts import push_image\n"
        "from dataclasses import replace; from scripts.images.entry import read_image\n"
        f"image = replace(read_image('pytorch'), repository={built.image.repository!r})\n"
        "push_image.read_image = lambda _: image\n"
        "sys.exit(push_image.main(sys.argv[1:]))"
    )
    with contextlib.ExitStack() as started:

        def start(registry):
            options = ["pytorch", "--registry", registry.host, "--output", str(tmp_path / "pushed")]
            process = started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
            started.callback(process.kill)
            return process

        yield start


def _until_under_way(registry, process):
    """The small layers have arrived, the large one has begun; it gets no further, however slow this machine is."""
    deadline = time.monotonic() + PUSH_SECONDS
    while registry.uploaded_bytes() < 1_000_000 or not registry.blobs():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the upload does not begin"
        time.sleep(0.01)
    registry.freeze()


def test_push_that_was_interrupted_goes_on_after_the_layers_that_arrived(built, registry, push, pushing):
    built.build(SMALL, LARGE)
    process = pushing(registry)
    _until_under_way(registry, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PUSH_SECONDS)
    registry.thaw()

    assert (process.returncode, out) == (130, ""), err
    assert registry.tags(built.image.repository) == {}
    assert built.names == []
    assert not any(size > LARGE for size in registry.blobs().values())

    code, out, err = push(registry.host)

    assert code == 0, err
    assert "layer already exists" in err
    assert set(registry.tags(built.image.repository)) == {TAG}


def test_registry_that_dies_in_the_middle_and_comes_back_gets_the_whole_image(built, registry, pushing, run_container):
    built.build(SMALL, LARGE)
    process = pushing(registry)
    _until_under_way(registry, process)
    registry.kill()
    time.sleep(1)
    assert registry.tags(built.image.repository) == {}
    registry.start()
    out, err = process.communicate(timeout=PUSH_SECONDS)

    assert process.returncode == 0, err
    assert set(registry.tags(built.image.repository)) == {TAG}
    assert run_container(out.strip(), ["sh", "-c", "cat /layer-1 > /dev/null"]).exit_code == 0


def test_ecr_is_pushed_to_by_its_api_with_its_token_for_a_registry_that_asks(built, tmp_path, push, monkeypatch):
    if why := debian.why_not():
        miss(why)
    built.build(SMALL)
    registry = debian.Registry(tmp_path / "registry", private=True)
    registry.start()
    server = Server.start(tmp_path, "--registry", registry.host)
    try:
        found = server.found
        monkeypatch.setenv("AWS_ENDPOINT_URL", found["url"])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", found["access_key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", found["secret"])
        monkeypatch.setenv("AWS_REGION", "eu-central-1")

        code, out, err = push("", "--fail-on", "never")

        assert code == 0, err
        ecr = server.client("ecr", region_name="eu-central-1")
        (image,) = ecr.describe_images(repositoryName=built.image.repository)["imageDetails"]
        assert out == f"{registry.host}/{built.image.repository}@{image['imageDigest']}\n"
        assert image["imageTags"] == [TAG]
        assert built.client.images.get(out.strip()).id == built.id
        assert not (tmp_path / "docker").exists(), "credentials were left"

        code, again, err = push("", "--fail-on", "never")
        assert (code, again) == (0, out)
        assert "nothing to push" in err
    finally:
        server.end()
        registry.end()
