"""Manifests: whose objects they name, under which names, and what they may not name."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_mode.channels.manifest import list_manifest
from local_mode.errors import SourceError


@pytest.fixture
def listed(tmp_path):
    """Lists a manifest over some files of a folder `set`."""
    for name in ("a/1.bin", "a/2.bin", "img_1", "img_2"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    def go(prefix, *suffixes, **how):
        (tmp_path / "list").write_text(json.dumps([{"prefix": prefix}, *suffixes]))
        return list_manifest(f"{tmp_path}/list", **how)

    return go


def test_objects_come_in_the_order_of_the_manifest_with_their_sizes(listed, tmp_path):
    found = listed(f"{tmp_path}/set/", "img_1", "a/2.bin", "a/1.bin")

    assert [(item.key, item.size) for item in found.objects] == [
        (f"{tmp_path}/set/img_1", 5),
        (f"{tmp_path}/set/a/2.bin", 7),
        (f"{tmp_path}/set/a/1.bin", 7),
    ]
    assert found.root is None


@pytest.mark.parametrize(
    ("prefix", "suffix", "whole", "short"),
    [
        ("set/", "a/1.bin", "set/a/1.bin", "a/1.bin"),
        ("set/a/", "1.bin", "a/1.bin", "1.bin"),
        ("set/img", "_2", "set/img_2", "_2"),
    ],
)
def test_names_are_whole_keys_or_what_follows_the_prefix(listed, tmp_path, prefix, suffix, whole, short):
    for uri in (f"{tmp_path}/{prefix}", f"file://{tmp_path}/{prefix}"):
        assert [item.name for item in listed(uri, suffix).objects] == [whole]
        assert [item.name for item in listed(uri, suffix, full_keys=False).objects] == [short]


@given(parts=st.lists(st.sampled_from(["..", ".", "", "a", "set", "1.bin", "secret"]), min_size=1, max_size=5))
def test_no_suffix_leaves_the_prefix(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "set" / "a").mkdir(parents=True)
    for name in ("secret", "set/secret", "set/1.bin", "set/a/1.bin"):
        (folder / name).write_text(name)
    (folder / "list").write_text(json.dumps([{"prefix": f"{folder}/set/"}, "/".join(parts)]))
    with suppress(SourceError):
        (found,) = list_manifest(f"{folder}/list").objects
        assert not {"", ".", ".."} & set(parts)
        assert found.key.startswith(f"{folder}/set/")
        assert found.name == f"set/{'/'.join(parts)}"


@pytest.mark.parametrize(
    ("prefix", "suffix", "message"),
    [
        ("s3://bucket/set/", "a", "The manifest .*/list: local_mode does not read or write 's3://bucket/set/' here"),
        ("{}/set/", "a", "names 'a', but .*/set/a cannot be read: it is not a plain file"),
        ("{}/set/", "a\0", "The manifest .*/list: '.*' names no path"),
        ("{}/set/", "\ud800", "The manifest .*/list: '.*' names no path"),
    ],
)
def test_entry_that_is_no_object_is_refused(listed, tmp_path, prefix, suffix, message):
    with pytest.raises(SourceError, match=message):
        listed(prefix.format(tmp_path), suffix)


@pytest.mark.parametrize("place", ["set", "none"])
def test_manifest_must_be_an_object_itself(listed, tmp_path, place):
    with pytest.raises(
        SourceError, match=f'^No S3 objects found under S3 URL "{tmp_path}/{place}" given in input data'
    ):
        list_manifest(f"{tmp_path}/{place}")
