"""A job's hosts: names, groups, shares of a channel, and what they left as one folder."""

import json

import pytest

from local_mode.channels.plan import ChannelSpec, plan_channel
from local_mode.instance import opt_ml
from local_mode.instance.cluster import alike, cluster, share
from local_mode.instance.merging import merge

GROUPS = cluster([("gpu", "ml.g5.xlarge", 1), ("cpu", "ml.c5.large", 10)])


def test_hosts_are_numbered_through_all_groups():
    assert GROUPS.hosts[:2] == ("algo-1", "algo-2")
    assert GROUPS.hosts[-1] == "algo-11"
    assert (GROUPS.group("algo-1").name, GROUPS.group("algo-2").name) == ("gpu", "cpu")
    assert GROUPS.members(("gpu",)) == ("algo-1",)
    assert GROUPS.members(()) == GROUPS.hosts
    assert alike("ml.m5.large", 2).groups[0].name == "homogeneousCluster"


def test_resource_config_lists_hosts_as_text(tmp_path):
    paths = opt_ml.write(
        tmp_path / "ml", hyperparameters={}, channels=[], cluster=GROUPS, host="algo-3",
        network_interface="eth0", checkpoint_path=None,
    )  # fmt: skip
    written = json.loads(paths.resource_config.read_text())

    assert written["hosts"][:3] == ["algo-1", "algo-10", "algo-11"]
    assert written["instance_groups"][1]["hosts"][:2] == ["algo-10", "algo-11"]
    assert (written["current_host"], written["current_group_name"]) == ("algo-3", "cpu")
    assert written["current_instance_type"] == "ml.c5.large"


@pytest.fixture
def ten(tmp_path):
    folder = tmp_path / "ten"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.bin").write_bytes(b"x")
    return folder


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("contiguous", [False, True])
def test_share_of_a_plan_is_what_planning_for_that_host_gives(ten, mode, seed, contiguous):
    spec = ChannelSpec(
        name="c", uri=f"{ten}/", mode=mode, seed=seed, contiguous=contiguous, distribution="ShardedByS3Key"
    )
    whole, shares = plan_channel(spec), []
    for host in range(3):
        got = share(whole, host=host, hosts=3)
        if mode != "FastFile":  # planned for one of several hosts, that has no folder to be mounted
            assert got == plan_channel(spec, host=host, hosts=3)
        assert got.root is None
        shares += [item.name for item in got.objects]

    assert mode == "Pipe" or sorted(shares) == sorted(item.name for item in whole.objects)


def test_share_of_a_replicated_channel_is_all_of_it(ten):
    whole = plan_channel(ChannelSpec(name="c", uri=f"{ten}/", mode="File"))

    assert share(whole, host=1, hosts=2) is whole


def folders(tmp_path, *trees):
    made = []
    for number, tree in enumerate(trees):
        made.append(tmp_path / str(number))
        for name, text in tree.items():
            path = made[-1] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return made


def test_folders_meet_and_files_clash_for_the_first_host(tmp_path):
    first, second = folders(tmp_path, {"a": "1", "d/x": "1"}, {"a": "2", "d/y": "2", "e/f/g": "2"})
    merged = merge([first, second, tmp_path / "absent"])

    assert merged.clashes == ("a",)
    assert list(merged.entries) == ["a", "d", "d/x", "d/y", "e", "e/f", "e/f/g"]
    assert merged.entries["a"] == first / "a"
    assert merged.entries["d/y"] == second / "d/y"


@pytest.mark.parametrize("order", [1, -1])
def test_folder_against_a_file_is_a_clash_and_brings_nothing_from_below(tmp_path, order):
    trees = folders(tmp_path, {"n": "file"}, {"n/deep/er": "below"})[::order]
    merged = merge(trees)

    assert merged.clashes == ("n",)
    assert list(merged.entries) == (["n"] if order == 1 else ["n", "n/deep", "n/deep/er"])


def test_link_to_a_folder_is_a_link_and_not_walked(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("x")
    (folder,) = folders(tmp_path, {"a": "1"})
    (folder / "link").symlink_to(tmp_path / "elsewhere")

    assert list(merge([folder]).entries) == ["a", "link"]
