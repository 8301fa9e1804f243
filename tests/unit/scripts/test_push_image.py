"""The command that pushes: what it says where, and how it ends. Only the engine stands in."""

import json

import pytest

from scripts import push_image
from scripts.images.entry import ImageError
from tests.fake_docker import LABELS, NAME, TAG, FakeDocker
from tests.faulty_registry import Fault, FaultyRegistry

REVISION = LABELS["org.opencontainers.image.revision"]


@pytest.fixture
def registry():
    made = FaultyRegistry()
    with made.served():
        yield made


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """What the command takes for an engine; no credentials of whoever runs the tests."""
    client = FakeDocker()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    monkeypatch.setattr(push_image, "check_engine", lambda: None)
    monkeypatch.setattr(push_image.revision, "read", lambda: REVISION)
    monkeypatch.setattr(push_image.docker, "from_env", lambda **_: client)
    return client


@pytest.fixture
def run(tmp_path, capfd):
    """Runs the command; its exit code, and what it said on stdout and stderr."""

    def push(*arguments):
        code = push_image.main([*arguments, "--output", str(tmp_path / "pushed")])
        return code, *capfd.readouterr()

    return push


def test_uri_by_digest_is_all_that_stdout_has_and_is_written_down(run, engine, registry, tmp_path):
    code, out, err = run("pytorch", "--registry", registry.host)

    (digest,) = [reference for _, reference in registry.manifests if reference != TAG]
    uri = f"{registry.host}/{NAME}@{digest}"
    assert (code, out) == (0, f"{uri}\n")
    assert f"pushing {NAME}:dev as {registry.host}/{NAME}:{TAG}" in err
    written = json.loads((tmp_path / "pushed" / "pytorch.json").read_text())
    assert written == {
        "framework": "pytorch",
        "uri": uri,
        "tag": f"{registry.host}/{NAME}:{TAG}",
        "image": engine.image.id,
        "revision": REVISION,
    }
    assert run("pytorch", "--last") == (0, f"{uri}\n", "")


def test_uri_of_nothing_pushed_is_an_error_with_the_command_that_pushes(run):
    code, out, err = run("keras", "--last")

    assert (code, out) == (1, "")
    assert err.startswith("push_image: Nothing was pushed of 'keras'")
    assert "make push/keras" in err


def test_failed_push_is_one_line_and_leaves_the_uri_of_the_last_one(run, engine, registry, tmp_path):
    _, first, _ = run("pytorch", "--registry", registry.host)
    registry.manifests.clear()
    registry.blobs.clear()
    registry.faults = [Fault(method="PATCH", path="", status=507)]

    code, out, err = run("pytorch", "--registry", registry.host)

    assert (code, out) == (1, "")
    assert [line for line in err.splitlines() if line.startswith("push_image: ")] == [err.splitlines()[-1]]
    assert "is full" in err
    assert run("pytorch", "--last")[1] == first


def test_registry_in_a_path_is_pushed_to_below_it(run, engine, registry):
    code, out, _ = run("pytorch", "--registry", f"{registry.host}/team")

    assert code == 0
    assert out.startswith(f"{registry.host}/team/{NAME}@sha256:")


def test_image_of_another_commit_than_the_tree_is_pushed_as_what_it_is_and_told_of(run, engine, registry, monkeypatch):
    monkeypatch.setattr(push_image.revision, "read", lambda: "f" * 40)

    code, _, err = run("pytorch", "--registry", registry.host)

    assert code == 0
    assert registry.tags == [TAG]
    assert f"is of {REVISION}, while this tree is {'f' * 40}" in err


def test_missing_engine_is_told_as_building_tells_it(run, monkeypatch):
    def missing():
        raise ImageError("There is no 'docker' on PATH; install Docker")

    monkeypatch.setattr(push_image, "check_engine", missing)

    assert run("pytorch", "--registry", "localhost:1") == (
        1, "", "push_image: There is no 'docker' on PATH; install Docker\n",
    )  # fmt: skip


def test_image_that_is_not_built_is_told_with_the_command_that_builds_it(run, engine):
    code, _, err = run("keras", "--registry", "localhost:1")

    assert code == 1
    assert err == "push_image: The engine has no image 'vision-training-keras:dev'; run: make build/keras\n"


def test_framework_that_is_none_is_told_with_the_nearest(run):
    code, _, err = run("keres", "--registry", "localhost:1")

    assert code == 1
    assert "did you mean 'keras'?" in err


@pytest.mark.parametrize("profile", ["", "nobody"])
@pytest.mark.parametrize("registry_host", ["", "111122223333.dkr.ecr.eu-central-1.amazonaws.com"])
def test_push_to_ecr_without_credentials_says_what_to_set(run, engine, monkeypatch, tmp_path, registry_host, profile):
    monkeypatch.setenv("AWS_PROFILE", profile) if profile else monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    code, out, err = run("pytorch", "--registry", registry_host)

    assert (code, out) == (1, "")
    assert "push_image: There are no AWS credentials" in err
    assert "REGISTRY=HOST:PORT" in err


def test_push_to_ecr_without_a_region_says_what_to_set(run, engine, monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    code, _, err = run("pytorch")

    assert code == 1
    assert err == "push_image: No AWS region is set; set AWS_REGION, as in AWS_REGION=eu-central-1\n"


def test_image_of_no_commit_goes_to_ecr_only_when_asked_to(run, engine):
    engine.image.labels = LABELS | {"org.opencontainers.image.revision": f"{REVISION}-dirty"}

    code, _, err = run("pytorch", "--registry", "111122223333.dkr.ecr.eu-central-1.amazonaws.com")

    assert code == 1
    assert f"built from a tree that is no commit ({REVISION}-dirty); commit and `make build`" in err
    assert "ALLOW_DIRTY=1" in err


def test_image_of_no_commit_goes_elsewhere_under_a_tag_with_its_content(run, engine, registry):
    engine.image.labels = LABELS | {"org.opencontainers.image.revision": f"{REVISION}-dirty"}

    code, _, _ = run("pytorch", "--registry", registry.host)

    assert code == 0
    assert registry.tags == [f"{TAG}-dirty-{engine.image.id.removeprefix('sha256:')[:12]}"]


def test_allowlist_with_a_day_that_has_passed_ends_a_push_to_ecr_before_it_begins(run, engine, tmp_path):
    past = tmp_path / "allowed.toml"
    past.write_text('[[allowed]]\nid = "CVE-2020-1"\nreason = "once"\nuntil = 2020-01-01\n')
    host = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"

    code, _, err = run("pytorch", "--registry", host, "--allowlist", str(past))

    assert code == 1
    assert "CVE-2020-1 until 2020-01-01: once" in err
    assert engine.auth == []
