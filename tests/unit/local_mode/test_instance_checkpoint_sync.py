"""The sync of checkpoints: what goes out, when, and what happens when it cannot."""

import errno
import os

import pytest

from local_mode.errors import ArtifactError
from local_mode.instance import beneath, checkpoint_sync
from local_mode.instance.checkpoint_sync import CheckpointSync
from tests.contract.lab import eventually


class Store:
    """In memory; `look` is called while a file goes out."""

    def __init__(self, **kept):
        self.kept, self.puts, self.removed, self.problem = dict(kept), [], [], None
        self.look = lambda name: None

    def bring(self, folder):
        for name, text in self.kept.items():
            (folder / name).write_text(text)

    def put(self, file, name):
        self.look(name)
        if self.problem:
            raise self.problem
        self.puts.append(name)
        self.kept[name] = file.read_text()

    def remove(self, name):
        self.removed.append(name)
        del self.kept[name]


@pytest.fixture
def made(tmp_path):
    """A sync that is restored and not yet started, its folder, its store and what it notes."""
    return make(tmp_path, Store(old="old"))


def make(tmp_path, store):
    notes = []
    sync = CheckpointSync(tmp_path / "ckpt", store, aside=tmp_path / "aside", note=notes.append, settle=0.05)
    sync.restore()
    return sync, tmp_path / "ckpt", store, notes


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(checkpoint_sync, "PERIOD_SECONDS", 0.05)


def test_changes_go_out_while_it_runs_with_a_mark_before_and_after(made):
    sync, folder, store, notes = made
    during = []
    store.look = lambda name: during.append(names(folder))
    sync.start(lambda: None)
    (folder / "a").write_text("1")
    eventually(lambda: store.kept.get("a") == "1" and "a.sagemaker-uploaded" in names(folder))
    (folder / "a").write_text("22")
    eventually(lambda: store.kept["a"] == "22" and "a.sagemaker-uploaded" in names(folder))
    sync.finish()

    assert during == [["a", "a.sagemaker-uploading", "old"]] * 2
    assert (store.puts, notes) == (["a", "a"], [])
    assert names(folder) == ["a", "a.sagemaker-uploaded", "old"]


def test_what_was_restored_or_uploaded_and_is_gone_is_removed_with_its_mark(made):
    sync, folder, store, _ = made
    sync.start(lambda: None)
    (folder / "a").write_text("1")
    store.kept["foreign"] = "of another"
    eventually(lambda: "a.sagemaker-uploaded" in names(folder))
    for name in ("a", "old"):
        (folder / name).unlink()
    eventually(lambda: sorted(store.removed) == ["a", "old"])
    sync.finish()

    assert (store.kept, names(folder)) == ({"foreign": "of another"}, [])


def test_folder_that_is_gone_has_no_files_but_one_that_cannot_be_read_is_an_error(made, monkeypatch):
    sync, folder, store, _ = made

    def refuse(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(ArtifactError, match="Checkpoint upload failed: .*ckpt: Input/output error"):
            sync.finish()
    assert store.removed == []
    (folder / "old").unlink()
    folder.rmdir()
    sync.finish()
    assert store.removed == ["old"]


def test_names_of_the_platform_are_left_alone(made):
    sync, folder, store, _ = made
    for name in ("half.sagemaker-ignore", "x.sagemaker-uploaded", "y.sagemaker-anything"):
        (folder / name).touch()
    sync.finish()

    assert store.puts == []


def test_file_that_changes_while_it_is_copied_goes_out_later_and_whole(made, monkeypatch):
    sync, folder, store, _ = made
    copy, times = beneath.shutil.copyfileobj, []

    def change_it(source, target, length):
        copy(source, target, length)
        if len(times) < 2:
            times.append(1)
            with (folder / "a").open("a") as file:
                file.write("+")

    monkeypatch.setattr(beneath.shutil, "copyfileobj", change_it)
    (folder / "a").write_text("1")
    sync.start(lambda: None)
    eventually(lambda: store.puts == ["a"])
    sync.finish()

    assert store.kept["a"] == "1++"
    assert not list(folder.parent.glob("aside*"))


def test_file_that_is_replaced_by_one_of_its_size_and_time_meanwhile_is_no_copy(tmp_path, monkeypatch):
    copy = beneath.shutil.copyfileobj
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))

    def replace_it(source, target, length):
        copy(source, target, length)
        (tmp_path / "b").replace(tmp_path / "a")

    monkeypatch.setattr(beneath.shutil, "copyfileobj", replace_it)
    assert beneath.copy_whole(tmp_path, "a", tmp_path / "copy") is None


def test_errors_are_told_once_and_tried_again(made):
    sync, folder, store, notes = made
    store.problem = ArtifactError("Cannot write it: 503")
    sync.start(lambda: None)
    (folder / "a").write_text("1")
    eventually(lambda: notes)
    eventually(lambda: not sync._ended.wait(0.3))
    store.problem = None
    eventually(lambda: store.puts == ["a"])
    eventually(lambda: len(notes) == 2)
    sync.finish()

    assert notes == [
        "checkpoints are not synced, to be tried again: Cannot write it: 503",
        "checkpoints are synced again",
    ]


def test_full_disk_is_told_while_it_runs_and_an_error_at_the_end(made, monkeypatch):
    sync, folder, store, notes = made

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "aside")

    monkeypatch.setattr(beneath.shutil, "copyfileobj", full)
    sync.start(lambda: None)
    (folder / "a").write_text("1")
    eventually(lambda: notes)
    with pytest.raises(ArtifactError, match="Checkpoint upload failed: aside: No space left on device"):
        sync.finish()
    assert store.puts == []


def test_one_file_that_cannot_be_read_does_not_keep_the_others_back(made, monkeypatch):
    sync, folder, store, _ = made
    for name in ("a", "b"):
        (folder / name).write_text(name)
    mark = beneath.mark

    def refuse(folder, name, old, new):
        if name == "a":
            raise OSError(errno.ENAMETOOLONG, "File name too long", name)
        mark(folder, name, old, new)

    monkeypatch.setattr(beneath, "mark", refuse)
    with pytest.raises(ArtifactError, match="a: File name too long"):
        sync.finish()
    assert store.puts == ["b"]


def test_files_of_another_user_are_opened_up_first(made, monkeypatch):
    sync, folder, store, _ = made
    opened = []
    copy = beneath.copy_whole

    def closed(*arguments):
        if not opened:
            raise PermissionError(errno.EACCES, "Permission denied", "a")
        return copy(*arguments)

    monkeypatch.setattr(beneath, "copy_whole", closed)
    sync.start(lambda: opened.append(True))
    (folder / "a").write_text("1")
    eventually(lambda: store.puts == ["a"])
    sync.finish()

    assert opened == [True]


def test_links_and_fifos_lead_nowhere(made, tmp_path):
    sync, folder, store, notes = made
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (folder / "inside").symlink_to("old")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "dangling").symlink_to("nothing")
    (folder / "folder").symlink_to(tmp_path / "elsewhere")
    (folder / "old.sagemaker-uploading").symlink_to(tmp_path / "made")
    os.mkfifo(folder / "fifo")
    sync.finish()
    sync.finish()

    assert store.puts == ["inside"]
    assert sorted(note.split()[1] for note in notes) == ["dangling", "fifo", "folder", "outside"]
    assert not (tmp_path / "made").exists()


def test_mark_is_not_made_behind_a_link(tmp_path):
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "ckpt" / "deep").symlink_to(tmp_path / "out")
    with pytest.raises(OSError, match="a link that leads out of its folder"):
        beneath.mark(tmp_path / "ckpt", "deep/a", ".old", ".new")
    with pytest.raises(OSError, match="a link that leads out of its folder"):
        beneath.copy_whole(tmp_path / "ckpt", "deep", tmp_path / "copy")

    assert list((tmp_path / "out").iterdir()) == []
