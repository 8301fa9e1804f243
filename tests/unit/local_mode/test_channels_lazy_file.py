"""Files fetched when they are read: any place of them, from any thread, and no part twice."""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_mode.channels import lazy_file
from local_mode.channels.fast_file import Tree
from local_mode.channels.lazy_file import LazyFile
from local_mode.channels.mounts import detach, detach_below, mounted_below
from local_mode.channels.objects import Found, ObjectError, Part

DATA = random.Random(1).randbytes(1000)


class Store:
    """Fetches from memory, and breaks as often as it is told to."""

    def __init__(self, breaks=0):
        self.asked, self.breaks = [], breaks

    def fetch(self, wanted, start, length, stop):
        self.asked.append(start)
        if self.breaks:
            self.breaks -= 1
            raise ObjectError("it is gone")
        return Part(DATA[start : start + length], wanted)

    list = one = read = fetch


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(lazy_file, "PART_BYTES", 100)


@settings(max_examples=50, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 400)), max_size=8))
def test_every_place_reads_as_it_does_in_a_file_and_no_part_is_fetched_twice(tmp_path_factory, places):
    copy, store = tmp_path_factory.mktemp("lazy") / "copy", Store()
    with ThreadPoolExecutor(4) as pool:
        file = LazyFile(store, Found("k", 1000, "tag"), copy, pool)
        assert [file.read(size, offset) for offset, size in places] == [DATA[o : o + size] for o, size in places]
    assert len(store.asked) == len(set(store.asked))


def test_threads_that_read_at_once_share_what_is_fetched(tmp_path, pool):
    store = Store()
    file = LazyFile(store, Found("k", 1000, "tag"), tmp_path / "copy", pool)
    with ThreadPoolExecutor(8) as readers:
        got = list(readers.map(lambda number: file.read(50, number * 20), range(48)))

    assert got == [DATA[number * 20 : number * 20 + 50] for number in range(48)]
    assert sorted(store.asked) == list(range(0, 1000, 100))


def test_one_place_of_a_large_file_does_not_fetch_the_whole(tmp_path, pool):
    store = Store()
    LazyFile(store, Found("k", 1000, "tag"), tmp_path / "copy", pool).read(10, 500)

    assert store.asked == [500]


def test_part_that_failed_is_tried_again_when_it_is_read_again(tmp_path, pool):
    file = LazyFile(Store(breaks=1), Found("k", 50, "tag"), tmp_path / "copy", pool)
    with pytest.raises(ObjectError, match="it is gone"):
        file.read(10, 0)

    assert file.read(10, 0) == DATA[:10]


def test_tree_shows_files_and_the_folders_above_them(tmp_path):
    objects = [{"name": name, "key": name, "size": 7, "tag": "t"} for name in ("a", "deep/er/b", "deep/c")]
    tree = Tree(objects, Store(), tmp_path)

    assert tree.readdir("/", 0) == [".", "..", "a", "deep"]
    assert tree.readdir("/deep", 0) == [".", "..", "er", "c"]
    assert tree.getattr("/deep/er/b")["st_size"] == 7
    assert tree.getattr("/deep/er/b")["st_mode"] & 0o222 == 0
    assert tree.read("/deep/c", 5, 2, 0) == DATA[2:7]
    with pytest.raises(FileNotFoundError):
        tree.getattr("/none")


def test_file_that_cannot_be_read_is_told_of_once(tmp_path, capsys):
    tree = Tree([{"name": "a", "key": "a", "size": 7, "tag": "t"}], Store(breaks=2), tmp_path)
    for _ in range(2):
        with pytest.raises(OSError, match="it is gone"):
            tree.read("/a", 5, 0, 0)

    assert capsys.readouterr().out == '{"error": "it is gone"}\n'


def test_folder_without_mounts_has_none_and_unmounting_it_is_nothing(tmp_path):
    assert mounted_below(tmp_path) == []
    detach_below(tmp_path / "nowhere")
    if os.geteuid() == 0:
        detach(tmp_path)
