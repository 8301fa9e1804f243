import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from trainjob.cifar10 import FOLDER, RECORD_BYTES, TEST_FILES, TRAIN_FILES
from trainjob.errors import DatasetError, OutputError

from scripts.datasets import cifar10, drawing
from scripts.datasets.archive import Archive
from scripts.datasets.shards import Sharding


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The published layout, with 40 records a file."""
    folder = tmp_path / "published" / FOLDER
    folder.mkdir(parents=True)
    for seed, name in enumerate(cifar10.FILES):
        drawing.draw(40, seed).tofile(folder / name)
    return folder


def test_shards_are_the_files_one_after_another(published: Path, tmp_path: Path):
    manifest = cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=3))

    shards = sorted((tmp_path / "out" / "train").iterdir())
    assert [path.name for path in shards] == ["part-000.bin", "part-001.bin", "part-002.bin"]
    assert b"".join(map(Path.read_bytes, shards)) == b"".join((published / name).read_bytes() for name in TRAIN_FILES)
    assert (tmp_path / "out" / "validation" / "part-000.bin").read_bytes() == (published / TEST_FILES[0]).read_bytes()
    assert [shard["records"] for shard in manifest["channels"]["train"]] == [67, 67, 66]


def test_manifest_has_a_true_checksum_for_every_file(published: Path, tmp_path: Path):
    manifest = cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=3))

    for shard in (shard for channel in manifest["channels"].values() for shard in channel):
        content = (tmp_path / "out" / shard["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
        assert len(content) == shard["records"] * RECORD_BYTES


def test_parent_of_the_published_folder_will_do(published: Path, tmp_path: Path):
    of_folder = cifar10.prepare(cifar10.Published(published), tmp_path / "one", Sharding(shards=2))
    of_parent = cifar10.prepare(cifar10.Published(published.parent), tmp_path / "two", Sharding(shards=2))

    assert of_folder == of_parent


def test_second_call_writes_nothing_and_a_changed_file_all_anew(published: Path, tmp_path: Path):
    source, shard = cifar10.Published(published), tmp_path / "out" / "train" / "part-000.bin"
    cifar10.prepare(source, tmp_path / "out", Sharding(shards=2))
    first = shard.stat().st_ino
    cifar10.prepare(source, tmp_path / "out", Sharding(shards=2))
    assert shard.stat().st_ino == first

    drawing.draw(50, 9).tofile(published / TRAIN_FILES[0])
    cifar10.prepare(source, tmp_path / "out", Sharding(shards=2))

    assert shard.stat().st_size == 105 * RECORD_BYTES


def test_missing_shard_is_written_again(published: Path, tmp_path: Path):
    source, shard = cifar10.Published(published), tmp_path / "out" / "train" / "part-001.bin"
    cifar10.prepare(source, tmp_path / "out", Sharding(shards=2))
    shard.unlink()

    cifar10.prepare(source, tmp_path / "out", Sharding(shards=2))

    assert shard.exists()


def test_missing_files_are_named(published: Path, tmp_path: Path):
    (published / "data_batch_3.bin").unlink()

    with pytest.raises(DatasetError, match=r"cifar-10-batches-bin lacks data_batch_3\.bin; expected are .*test_batch"):
        cifar10.prepare(cifar10.Published(published.parent), tmp_path / "out", Sharding(shards=2))


def test_archive_for_python_is_recognised(tmp_path: Path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").touch()

    with pytest.raises(DatasetError, match="the archive's version for Python: the binary version is needed"):
        cifar10.prepare(cifar10.Published(tmp_path), tmp_path / "out", Sharding(shards=2))


def test_folder_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(DatasetError, match=f"There is no folder {tmp_path}/nowhere; give the one that holds {FOLDER}"):
        cifar10.prepare(cifar10.Published(tmp_path / "nowhere"), tmp_path / "out", Sharding(shards=2))


def test_file_cut_off_inside_a_record_is_refused(published: Path, tmp_path: Path):
    with (published / "data_batch_2.bin").open("ab") as file:
        file.write(b"x")

    with pytest.raises(DatasetError, match=r"data_batch_2\.bin has 122,921 bytes, .*30,730,000 bytes"):
        cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=2))


def test_label_out_of_range_is_named_and_leaves_nothing(published: Path, tmp_path: Path):
    block = drawing.draw(40, 0)
    block[7, 0] = 200
    block.tofile(published / "data_batch_5.bin")

    with pytest.raises(DatasetError, match=r"data_batch_5\.bin: Record 7 has label 200"):
        cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=2))

    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.unfinished").exists()


def test_failure_keeps_what_was_prepared_before(published: Path, tmp_path: Path):
    cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=2))
    before = sorted((path.name, path.stat().st_ino) for path in (tmp_path / "out").rglob("*"))
    np.full((40, RECORD_BYTES), 99, np.uint8).tofile(published / TEST_FILES[0])

    with pytest.raises(DatasetError, match="label 99"):
        cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=2))

    assert sorted((path.name, path.stat().st_ino) for path in (tmp_path / "out").rglob("*")) == before


def test_leftovers_of_a_killed_call_are_cleared_away(published: Path, tmp_path: Path):
    (tmp_path / ".out.unfinished" / "train").mkdir(parents=True)

    cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=2))

    assert not (tmp_path / ".out.unfinished").exists()


def test_folder_with_other_files_is_not_replaced(published: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")

    with pytest.raises(OutputError, match="out holds files that are no prepared data set; give another folder"):
        cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=2))

    assert (tmp_path / "out" / "thesis.txt").exists()


@pytest.mark.parametrize("count", [0, 201])
def test_impossible_number_of_shards_is_refused(published: Path, tmp_path: Path, count: int):
    with pytest.raises(DatasetError, match=f"200 records of channel 'train' cannot be {count} shards; give 1 to 200"):
        cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=count))


def test_full_disk_is_one_clear_error(published: Path, monkeypatch: pytest.MonkeyPatch):
    # /dev/full refuses every write with ENOSPC, as a full disk does.
    monkeypatch.setattr(cifar10.shards, "write_manifest", lambda *_: Path("/dev/full").write_text("x"))
    out = published.parent / "out"

    with pytest.raises(OutputError, match=r"out: .*No space left on device; free some 600 MB there"):
        cifar10.prepare(cifar10.Published(published), out, Sharding(shards=2))

    assert not out.exists()


def test_archive_is_unpacked_into_the_same_shards(published: Path, tmp_path: Path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(published, FOLDER)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "c.tar.gz").write_bytes(buffer.getvalue())
    archive_at_hand = Archive(address="http://127.0.0.1:9/c.tar.gz", md5="of no use: it lies there")

    cifar10.prepare(
        cifar10.Downloaded(tmp_path / "data", archive_at_hand), tmp_path / "data" / "out", Sharding(shards=2)
    )

    names = sorted(path.name for path in (tmp_path / "data" / "out").iterdir())
    assert names == ["manifest.json", "train", "validation"]
    assert (tmp_path / "data" / "out" / "validation" / "part-000.bin").stat().st_size == 40 * RECORD_BYTES


def test_drawn_sample_lies_beside_its_shards_as_a_published_folder(tmp_path: Path):
    manifest = cifar10.prepare(cifar10.Drawn(), tmp_path / "out", Sharding(shards=5))

    again = cifar10.prepare(cifar10.Published(tmp_path / "out"), tmp_path / "again", Sharding(shards=5))

    assert manifest["channels"] == again["channels"]
