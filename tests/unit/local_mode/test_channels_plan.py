"""Plans: what the feeder is told, what is copied, what FastFile refuses."""

from contextlib import closing

import pytest

from local_mode.channels.copying import copy_channel
from local_mode.channels.objects import find
from local_mode.channels.plan import ChannelSpec, feeder_document, plan_channel
from local_mode.errors import SourceError


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "b").write_bytes(b"bb")
    (folder / "deep" / "a").write_bytes(b"a")
    return folder


def plan(folder, mode):
    return plan_channel(ChannelSpec(name="train", uri=f"{folder}/", mode=mode))


def test_feeder_is_told_of_pipe_channels_only(data, tmp_path):
    document = feeder_document([plan(data, "Pipe"), plan(data, "File")], folder=tmp_path / "fifos", parent=7)

    assert document == {
        "folder": str(tmp_path / "fifos"),
        "parent": 7,
        "channels": [
            {
                "channel": "train",
                "objects": [
                    {"key": str(data / "b"), "size": 2, "tag": ""},
                    {"key": str(data / "deep/a"), "size": 1, "tag": ""},
                ],
                "attributes": [],
                "record_io": False,
                "gzip": False,
                "order": {"seed": None, "host": 0, "hosts": 1, "contiguous": False},
            }
        ],
    }


def test_copy_is_the_tree_that_a_mount_would_show(data, tmp_path):
    copy_channel(plan(data, "File"), tmp_path / "copy")

    assert (tmp_path / "copy" / "deep" / "a").read_bytes() == b"a"
    assert (tmp_path / "copy" / "b").read_bytes() == b"bb"
    assert plan(data, "File").size == 3


def test_fast_file_refuses_what_is_not_a_whole_folder(data):
    with pytest.raises(SourceError, match=f"Channel 'train': FastFile needs a whole folder.*{data}/b is not one"):
        plan_channel(ChannelSpec(name="train", uri=f"{data}/b", mode="FastFile"))


def test_error_names_the_channel(tmp_path):
    with pytest.raises(SourceError, match="Channel 'train': No S3 objects found under S3 URL \".*/none\""):
        plan_channel(ChannelSpec(name="train", uri=f"{tmp_path}/none", mode="Pipe"))


def names(folder, **how):
    mode, host, hosts = how.pop("mode", "File"), how.pop("host", 0), how.pop("hosts", 1)
    spec = ChannelSpec(name="train", uri=f"{folder}/", mode=mode, **how)
    return [item.name for item in plan_channel(spec, host=host, hosts=hosts).objects]


@pytest.fixture
def ten(tmp_path):
    folder = tmp_path / "ten"
    folder.mkdir()
    for number in range(10):
        (folder / str(number)).touch()
    return folder


def test_files_are_divided_among_hosts_by_their_sorted_keys(ten):
    sharded = {"distribution": "ShardedByS3Key", "hosts": 3}

    assert names(ten, host=1, **sharded) == ["1", "4", "7"]
    assert names(ten, host=1, contiguous=True, **sharded) == ["3", "4", "5"]
    assert names(ten, host=1, hosts=3) == [str(number) for number in range(10)]


def test_files_are_shuffled_before_they_are_divided(ten):
    shards = [names(ten, host=host, hosts=2, distribution="ShardedByS3Key", seed=4) for host in range(2)]

    assert sorted(shards[0] + shards[1]) == [str(number) for number in range(10)]
    assert shards[0] != ["0", "2", "4", "6", "8"]
    assert shards == [names(ten, host=host, hosts=2, distribution="ShardedByS3Key", seed=4) for host in range(2)]


def test_share_of_a_folder_is_copied_and_never_mounted(ten, tmp_path):
    spec = ChannelSpec(name="train", uri=f"{ten}/", mode="File", distribution="ShardedByS3Key")
    share = plan_channel(spec, host=9, hosts=11)
    copy_channel(share, tmp_path / "copy")

    assert (share.root, plan_channel(spec).root) == (None, ten)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["9"]


def test_stream_is_divided_by_the_feeder_which_is_told_all_it_needs(ten):
    spec = ChannelSpec(
        name="train",
        uri=f"{ten}/",
        mode="Pipe",
        distribution="ShardedByS3Key",
        record_wrapper="RecordIO",
        compression="Gzip",
        seed=-5,
    )
    (channel,) = feeder_document([plan_channel(spec, host=2, hosts=4)], folder=ten, parent=None)["channels"]

    assert len(channel.pop("objects")) == 10
    assert channel == {
        "channel": "train",
        "attributes": [],
        "record_io": True,
        "gzip": True,
        "order": {"seed": -5, "host": 2, "hosts": 4, "contiguous": False},
    }


def test_augmented_manifest_is_one_object_which_must_not_be_empty(tmp_path):
    path = tmp_path / "lines"
    path.write_text("{}")
    spec = ChannelSpec(
        name="train", uri=str(path), mode="Pipe", data_type="AugmentedManifestFile", attributes=("a-ref", "b")
    )
    (channel,) = feeder_document([plan_channel(spec)], folder=tmp_path, parent=None)["channels"]

    assert channel["objects"] == [{"key": str(path), "size": 2, "tag": ""}]
    assert channel["attributes"] == ["a-ref", "b"]
    path.write_text("")
    with pytest.raises(
        SourceError, match=f'No S3 objects found under S3 URL "{path}".*the augmented manifest is empty'
    ):
        plan_channel(spec)


@pytest.mark.parametrize(("full_keys", "name"), [(True, "data/deep/a"), (False, "deep/a")])
def test_layout_of_a_manifest_in_file_mode_is_a_switch(data, tmp_path, full_keys, name):
    (tmp_path / "list").write_text(f'[{{"prefix": "{data}/"}}, "deep/a"]')
    spec = ChannelSpec(name="train", uri=f"{tmp_path}/list", mode="File", data_type="ManifestFile", full_keys=full_keys)
    copy_channel(plan_channel(spec), tmp_path / "copy")

    assert (tmp_path / "copy" / name).read_bytes() == b"a"


def test_sources_are_read_from_any_offset(data):
    source, key = find(f"{data}/b")

    assert source.one(key).size == 2
    with closing(source.read(key, 1)) as stream:
        assert stream.read(10) == b"b"
