"""The images' base, pinned by what its registry has."""

import hashlib
from shutil import copy

import pytest

from scripts import bump_base
from scripts.images.entry import ROOT, read_images
from scripts.publishing.target import Target

MANIFEST = b'{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


@pytest.fixture
def images(tmp_path, registry):
    """images.json on a base of the registry; its path and the base's name."""
    copy(ROOT / "images.json", tmp_path)
    path, name = tmp_path / "images.json", f"{registry.host}/team/base:1"
    path.write_text(path.read_text().replace("debian:trixie-slim", name))
    return path, name


@pytest.mark.parametrize(
    ("name", "registry", "repository", "tag"),
    [
        ("debian:trixie-slim", "registry-1.docker.io", "library/debian", "trixie-slim"),
        ("team/base", "registry-1.docker.io", "team/base", "latest"),
        ("localhost:5000/team/base:1", "localhost:5000", "team/base", "1"),
        ("public.example.com/base:1", "public.example.com", "base", "1"),
    ],
)
def test_names_are_taken_apart_as_docker_does(name, registry, repository, tag):
    assert bump_base.locate(name) == (Target(registry=registry, repository=repository), tag)


def test_bump_writes_the_digest_behind_every_entry_of_the_base(images, registry, capsys):
    path, _ = images
    before = path.read_text()
    registry.manifests["team/base", "1"] = MANIFEST

    assert bump_base.main(["--root", str(path.parent)]) == 0

    assert {image.base_digest for image in read_images(path.parent).values()} == {DIGEST}
    assert path.read_text() == before.replace('"base_digest": ""', f'"base_digest": "{DIGEST}"')
    assert "after no pin" in capsys.readouterr().out


def test_bump_changes_nothing_where_the_registry_has_no_such_image(images, capsys):
    path, name = images
    before = path.read_text()

    assert bump_base.main(["--root", str(path.parent)]) == 1

    assert path.read_text() == before
    assert f"has no '{name}'" in capsys.readouterr().err


def test_bump_changes_nothing_where_no_registry_answers(images, registry, capsys):
    path, name = images
    before = path.read_text().replace(name, "127.0.0.1:9/base:1")
    path.write_text(before)

    assert bump_base.main(["--root", str(path.parent)]) == 1

    assert path.read_text() == before
    assert "127.0.0.1:9' does not answer" in capsys.readouterr().err
