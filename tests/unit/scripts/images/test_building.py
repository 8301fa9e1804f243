from dataclasses import replace
from pathlib import Path

import pytest

from scripts.images import building, engine
from scripts.images.building import Base, Request
from scripts.images.entry import ImageError, read_image, read_images
from scripts.images.revision import Revision

REVISION = Revision(version="1.2.3", commit="a" * 40, dirty=False, time=1_700_000_000, source="https://example.com/r")
DIGEST = "sha256:" + "d" * 64
BASE = Base(reference="debian:trixie-slim", digest=DIGEST)
OLD = "Driver:        docker\nNodes:\nBuildKit version: v0.8+unknown\n"
NEW = "Driver:        docker-container\nNodes:\nBuildKit version: v0.13.1\n"
INSIDE = "Driver:        docker\nNodes:\nBuildkit:  v0.17.3\n"


def target(request: Request, framework: str = "pytorch") -> dict[str, object]:
    image = read_image(framework)
    return dict(building.definition([image], REVISION, {framework: BASE}, request)["target"][framework])


def test_all_images_are_targets_of_one_build():
    images = list(read_images().values())

    made = building.definition(images, REVISION, {image.framework: BASE for image in images}, Request())

    assert made["group"]["default"]["targets"] == ["pytorch", "keras"]
    assert made["target"]["keras"]["tags"] == ["vision-training-keras:1.2.3-aaaaaaaaaaaa", "vision-training-keras:dev"]
    assert made["target"]["keras"]["dockerfile"] == "keras/Dockerfile"


def test_labels_say_what_the_image_is_made_of():
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in target(Request())["labels"].items()
    }

    assert labels == {
        "created": "2023-11-14T22:13:20Z",
        "version": "1.2.3",
        "revision": "a" * 40,
        "source": "https://example.com/r",
        "base.name": "debian:trixie-slim",
        "base.digest": DIGEST,
    }


def test_label_without_a_value_is_left_out():
    image = read_image("pytorch")

    labels = building.labels(image, replace(REVISION, source=""), replace(BASE, digest=""))

    assert not any("source" in name or "base.digest" in name for name in labels)


def test_time_of_the_commit_reaches_the_builder():
    assert target(Request())["args"] == {"BASE": "debian:trixie-slim", "SOURCE_DATE_EPOCH": "1700000000"}


def test_other_stage_never_takes_the_place_of_what_ships():
    made = target(Request(target="compile"))

    assert made["tags"] == ["vision-training-pytorch:1.2.3-aaaaaaaaaaaa-compile", "vision-training-pytorch:dev-compile"]


def test_fresh_build_uses_no_layer_and_no_package_of_an_earlier_one():
    made = target(Request(fresh=True))

    assert made["no-cache"] is True
    assert made["args"]["PIP_NO_CACHE_DIR"] == "1"


def test_files_of_a_corporate_network_are_secrets_of_the_build(tmp_path: Path):
    for name in ("pip.conf", "ca.pem"):
        (tmp_path / name).write_text("x")

    made = target(Request(pip_conf=tmp_path / "pip.conf", ca_bundle=tmp_path / "ca.pem"))

    assert made["secret"] == [f"id=pip_conf,src={tmp_path}/pip.conf", f"id=ca_bundle,src={tmp_path}/ca.pem"]


def test_secret_that_is_not_there_is_refused_by_its_path(tmp_path: Path):
    with pytest.raises(ImageError, match="no file '.*/pip.conf'"):
        Request(pip_conf=tmp_path / "pip.conf")


@pytest.mark.parametrize(
    ("builder", "info", "can"),
    [(OLD, "", False), (NEW, "", True), (INSIDE, "", False), (INSIDE, '["io.containerd.snapshotter.v1"]', True)],
)
def test_times_are_rewritten_where_the_builder_can(builder: str, info: str, can: bool):
    assert engine.can_rewrite_times(builder, info) is can


class Engine:
    """Stands in for the engine: what it has, and whether a registry answers it."""

    def __init__(self, has: dict[str, dict[str, object]], problem: str) -> None:
        self.inspect, self.pull = has.get, lambda name: problem


@pytest.mark.parametrize(
    ("has", "problem", "reference", "digest"),
    [
        ({}, "", f"debian:trixie-slim@{DIGEST}", DIGEST),
        ({f"debian:trixie-slim@{DIGEST}": {}}, "no network", f"debian:trixie-slim@{DIGEST}", DIGEST),
        ({"debian:trixie-slim": {"RepoDigests": []}}, "no network", "debian:trixie-slim", ""),
        ({}, "no network", f"debian:trixie-slim@{DIGEST}", DIGEST),
    ],
    ids=["fetched", "here", "stand-in", "neither"],
)
def test_pinned_base_is_used_where_it_is_to_be_had(monkeypatch, capsys, has, problem, reference, digest):
    monkeypatch.setattr(building, "engine", Engine(has, problem))
    image = replace(read_image("pytorch"), base="debian:trixie-slim", base_digest=DIGEST)

    assert building.find_base(image) == Base(reference=reference, digest=digest)
    assert ("not the pinned base" in capsys.readouterr().err) == (reference == "debian:trixie-slim")


def test_base_without_a_pin_has_the_digest_that_the_engine_knows(monkeypatch):
    monkeypatch.setattr(building, "engine", Engine({"debian:trixie-slim": {"RepoDigests": [f"debian@{DIGEST}"]}}, ""))
    image = replace(read_image("pytorch"), base="debian:trixie-slim", base_digest="")

    assert building.find_base(image) == BASE
