"""Plans: what the feeder is told, what is copied, what FastFile refuses."""

import pytest

from local_mode.errors import SourceError
from local_mode.instance.plan import ChannelSpec, copy_channel, feeder_document, plan_channel


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

    objects = [{"path": str(data / "b"), "size": 2}, {"path": str(data / "deep/a"), "size": 1}]
    assert document == {
        "folder": str(tmp_path / "fifos"),
        "parent": 7,
        "channels": [{"channel": "train", "objects": objects}],
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
    with pytest.raises(SourceError, match="Channel 'train': No objects found under .*/none"):
        plan_channel(ChannelSpec(name="train", uri=f"{tmp_path}/none", mode="Pipe"))
