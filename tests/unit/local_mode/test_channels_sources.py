"""Sources: which files an S3Uri names, under which names, in which order."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_mode.channels.sources import cut, list_objects, local_path, refuse_clashes
from local_mode.errors import SourceError


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def names(uri):
    return [item.name for item in list_objects(str(uri)).objects]


@pytest.mark.parametrize(
    ("prefix", "key", "expected"),
    [
        ("/p/in/", "/p/in/x/y.csv", "x/y.csv"),
        ("/p/in", "/p/in/y.csv", "y.csv"),
        ("/p/in/y.csv", "/p/in/y.csv", "y.csv"),
        ("/d/train", "/d/train-data.csv", "train-data.csv"),
        ("/d/train", "/d/train-2/a.csv", "train-2/a.csv"),
    ],
)
def test_prefix_is_cut_at_a_folder_boundary_as_the_service_does(prefix, key, expected):
    assert cut(prefix, key) == expected


_PARTS = st.text(st.sampled_from("ab-."), min_size=1, max_size=3)


@given(folder=st.lists(_PARTS, min_size=1, max_size=3), rest=st.lists(_PARTS, min_size=1, max_size=3), more=_PARTS)
def test_cut_never_splits_a_name_and_loses_nothing(folder, rest, more):
    key = "/".join(["", *folder, *rest])
    for prefix in ("/".join(["", *folder]), "/".join(["", *folder, ""]), f"{'/'.join(['', *folder])}/{rest[0][:1]}"):
        name = cut(prefix, key)
        assert key.endswith(f"/{name}")
        assert not name.startswith("/")
    assert cut("/".join(["", *folder]), key + more) == "/".join(rest) + more


def test_order_is_that_of_the_keys_bytes(tmp_path):
    fill(tmp_path, "b", "B", "a/z", "a-", "a.b", "ä", "z")

    assert names(tmp_path) == sorted(["b", "B", "a/z", "a-", "a.b", "ä", "z"], key=os.fsencode)
    assert names(tmp_path)[:4] == ["B", "a-", "a.b", "a/z"]


def test_prefix_matches_by_text_and_says_so(tmp_path):
    fill(tmp_path, "train/1", "train-extra", "test/1")
    listing = list_objects(f"{tmp_path}/train")

    assert [item.name for item in listing.objects] == ["train-extra", "1"]
    assert listing.root is None
    assert "also matches train-extra; end it with a slash" in listing.surprise


def test_whole_folder_can_be_mounted(tmp_path):
    fill(tmp_path, "train/1", "train-extra")

    assert list_objects(f"{tmp_path}/train/").root == tmp_path / "train"
    assert list_objects(f"{tmp_path}/train/1").root is None
    assert names(f"{tmp_path}/train/1") == ["1"]


def test_folder_with_links_to_files_is_read_but_not_mounted(tmp_path):
    fill(tmp_path, "elsewhere", "train/1")
    (tmp_path / "train" / "2").symlink_to(tmp_path / "elsewhere")
    listing = list_objects(f"{tmp_path}/train/")

    assert [item.size for item in listing.objects] == [len("train/1"), len("elsewhere")]
    assert listing.root is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a/b/", "/a/b/"),
        ("/a/./b/../c", "/a/c"),
        ("file:///a/b%20c", "/a/b c"),
        ("file://localhost/a", "/a"),
        ("/with#hash?mark", "/with#hash?mark"),
        ("/", "/"),
    ],
)
def test_paths_and_file_uris_name_the_same_files(uri, expected):
    assert local_path(uri) == expected


def test_relative_path_is_relative_to_where_we_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path("data/train/") == f"{tmp_path}/data/train/"


@pytest.mark.parametrize("uri", ["s3://bucket/key", "https://host/x", "file://other/x"])
def test_other_schemes_are_refused_for_now(uri):
    with pytest.raises(SourceError, match=f"does not read or write '{uri}' yet"):
        local_path(uri)


def test_empty_match_is_refused(tmp_path):
    with pytest.raises(
        SourceError, match=f'No S3 objects found under S3 URL "{tmp_path}/none" given in input data source; it must'
    ):
        list_objects(f"{tmp_path}/none")
    with pytest.raises(
        SourceError, match=f'No S3 objects found under S3 URL "{tmp_path}/no/such".*No such file or directory: check'
    ):
        list_objects(f"{tmp_path}/no/such")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        SourceError,
        match="Cannot read .*/pipe: it is not a plain file, as S3 objects are; mend it or move it out of the channel",
    ):
        list_objects(str(tmp_path))


def test_link_to_a_folder_is_refused(tmp_path):
    fill(tmp_path, "train/1")
    (tmp_path / "train" / "more").symlink_to(tmp_path)
    with pytest.raises(SourceError, match="more is a link to a folder"):
        list_objects(f"{tmp_path}/train/")


def test_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="Cannot read .*gone: No such file"):
        list_objects(f"{tmp_path}/")


def test_two_objects_at_one_place_are_refused(tmp_path):
    fill(tmp_path, "in/in-x", "in-x")
    with pytest.raises(SourceError, match="at the same place, in-x; use a longer prefix"):
        refuse_clashes("in", list_objects(f"{tmp_path}/in").objects)
