import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from trainjob.errors import DatasetError, OutputError

from scripts.datasets import birds, cub200, jpegs
from scripts.datasets.cub200 import Published, Treatment
from scripts.datasets.forms import JPEG, RECORDIO, TFRECORD, Form
from scripts.datasets.photographs import FORMS
from scripts.datasets.shards import Sharding

AS_JPEG = Sharding(form=JPEG)
FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def keys(out: Path, channel: str) -> list[str]:
    return [json.loads(line)["key"] for line in (out / channel / "index.jsonl").read_text().splitlines()]


def photograph(folder: Path, number: int = 1) -> Path:
    key = (folder / "images.txt").read_text().splitlines()[number - 1].split()[1]
    return folder / "images" / key


def test_validation_is_split_off_train_by_class_and_test_is_the_authors(drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG, Treatment(validation=0.2))

    parts = {channel: keys(tmp_path / "out", channel) for channel in cub200.CHANNELS}
    official = [photograph(drawn, number) for number in range(1, 101)]
    assert {f"{path.parent.name}/{path.name}" for path in official if int(path.stem[-4:]) % 2 == 0} == set(
        parts["test"]
    )
    assert len({key for part in parts.values() for key in part}) == 100
    counts = {channel: set(Counter(key.split("/")[0] for key in part).values()) for channel, part in parts.items()}
    assert counts == {"train": {4}, "validation": {1}, "test": {5}}


def test_one_photograph_of_a_class_stays_for_training_however_large_the_validation_part(drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG, Treatment(validation=0.99))

    assert Counter(key.split("/")[0] for key in keys(tmp_path / "out", "train")) == dict.fromkeys(
        (f"{label:03d}.{species.name}" for label, species in enumerate(birds.SPECIES, 1)), 1
    )


def test_validation_part_that_would_be_empty_is_refused(drawn: Path, tmp_path: Path):
    with pytest.raises(
        DatasetError, match=r"--validation 0\.01 leaves the validation part empty: .* more than 5 photo"
    ):
        cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG, Treatment(validation=0.01))


def test_data_without_a_test_part_is_refused(own_birds: Path, tmp_path: Path):
    (own_birds / "train_test_split.txt").write_text("".join(f"{number} 1\n" for number in range(1, 101)))

    with pytest.raises(DatasetError, match=r"train_test_split\.txt has no photograph in the test part"):
        cub200.prepare(Published(own_birds), tmp_path / "out", AS_JPEG)


def test_classes_are_mixed_wherever_a_channel_is_cut(drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG)

    for channel in ("train", "test"):
        found = keys(tmp_path / "out", channel)
        assert found != sorted(found)
        assert all(len({key.split("/")[0] for key in found[start : start + 10]}) >= 5 for start in (0, 10, 20, 30))


def test_index_and_manifest_say_of_each_photograph_what_its_authors_say(drawn: Path, tmp_path: Path):
    out = tmp_path / "a folder, 100 %"
    cub200.prepare(Published(drawn), out, AS_JPEG)

    index = [json.loads(line) for line in (out / "train" / "index.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in (out / "train.manifest").read_text().splitlines()]
    boxes = dict(line.split(" ", 1) for line in (drawn / "bounding_boxes.txt").read_text().splitlines())
    ids = {line.split()[1]: line.split()[0] for line in (drawn / "images.txt").read_text().splitlines()}
    for entry in index:
        assert entry["label"] == int(entry["key"][:3]) - 1
        assert entry["box"] == [float(value) for value in boxes[ids[entry["key"]]].split()]
    assert lines == [
        {"source-ref": f"{out.as_uri()}/train/{entry['key']}", **{key: entry[key] for key in ("label", "box", "key")}}
        for entry in index
    ]
    assert [list(line) for line in lines] == [["source-ref", "label", "box", "key"]] * 40


def test_prefix_given_begins_every_source_ref(drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG, Treatment(uri="s3://a-bucket/birds/"))

    line = json.loads((tmp_path / "out" / "test.manifest").read_text().splitlines()[0])
    assert line["source-ref"] == f"s3://a-bucket/birds/test/{line['key']}"


def test_photographs_are_the_users_own_files_under_another_name(own_birds: Path, tmp_path: Path):
    cub200.prepare(Published(own_birds), tmp_path / "out", AS_JPEG)

    for key in keys(tmp_path / "out", "train"):
        assert (tmp_path / "out" / "train" / key).samefile(own_birds / "images" / key)


def test_photographs_are_copied_where_the_disk_has_no_links(
    own_birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*names: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(jpegs.os, "link", refuse)
    cub200.prepare(Published(own_birds), tmp_path / "out", AS_JPEG)

    for key in keys(tmp_path / "out", "validation"):
        copy, own = tmp_path / "out" / "validation" / key, own_birds / "images" / key
        assert copy.read_bytes() == own.read_bytes()
        assert not copy.samefile(own)


@FORM
def test_manifest_has_classes_and_a_true_checksum_for_every_file(form: Form, drawn: Path, tmp_path: Path):
    manifest = cub200.prepare(Published(drawn), tmp_path / "out", Sharding(form=form))

    listed = [file for channel in manifest["channels"].values() for file in channel]
    for file in listed:
        content = (tmp_path / "out" / file["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    there = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert there == {file["file"] for file in listed} | {"manifest.json"}
    assert [sum(file["records"] for file in manifest["channels"][name]) for name in cub200.CHANNELS] == [40, 10, 50]
    assert cub200.hyperparameters(manifest) == {"classes": "10"}
    assert manifest["classes"][3] == "004.Ink_Crow"


@FORM
def test_second_call_writes_nothing_and_a_changed_photograph_all_anew(form: Form, own_birds: Path, tmp_path: Path):
    source, out = Published(own_birds), tmp_path / "out"
    cub200.prepare(source, out, Sharding(form=form))
    first = (out / "manifest.json").stat().st_ino
    cub200.prepare(source, out, Sharding(form=form))
    assert (out / "manifest.json").stat().st_ino == first

    photograph(own_birds).unlink()
    photograph(own_birds).write_bytes(photograph(own_birds, 7).read_bytes())
    cub200.prepare(source, out, Sharding(form=form))

    assert (out / "manifest.json").stat().st_ino != first


@pytest.mark.parametrize(
    "other",
    [Treatment(short_side=256), Treatment(validation=0.3), Treatment(uri="s3://b/p")],
    ids=["size", "share", "prefix"],
)
def test_another_treatment_is_written_anew(other: Treatment, drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG)
    before = (tmp_path / "out" / "manifest.json").read_text()
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG, other)

    assert (tmp_path / "out" / "manifest.json").read_text() != before


def test_folder_that_was_moved_is_written_anew_as_its_manifests_refer_to_where_it_was(drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG)
    (tmp_path / "out").rename(tmp_path / "moved")

    cub200.prepare(Published(drawn), tmp_path / "moved", AS_JPEG)

    assert f"file://{tmp_path}/moved/train/" in (tmp_path / "moved" / "train.manifest").read_text()


def test_parent_of_the_published_folder_will_do(drawn: Path, tmp_path: Path):
    of_folder = cub200.prepare(Published(drawn), tmp_path / "one", Sharding(form=RECORDIO))
    of_parent = cub200.prepare(Published(drawn.parent), tmp_path / "two", Sharding(form=RECORDIO))

    assert of_folder == of_parent


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "There is no folder .*nowhere; give the one that holds CUB_200_2011"),
        (".", r"lacks images\.txt, class"),
    ],
)
def test_folder_that_is_no_data_set_is_named(given: str, said: str, tmp_path: Path):
    with pytest.raises(DatasetError, match=said):
        cub200.prepare(Published(tmp_path / given), tmp_path / "out", AS_JPEG)


def test_failure_leaves_nothing_and_keeps_what_was_prepared_before(own_birds: Path, tmp_path: Path):
    out = tmp_path / "out"
    cub200.prepare(Published(own_birds), out, AS_JPEG)
    before = sorted((path.name, path.stat().st_ino) for path in out.rglob("*"))
    spoilt = photograph(own_birds, 100)
    spoilt.unlink()
    spoilt.write_bytes(b"\xff\xd8 no more")

    with pytest.raises(DatasetError, match=spoilt.name):
        cub200.prepare(Published(own_birds), out, AS_JPEG)

    assert sorted((path.name, path.stat().st_ino) for path in out.rglob("*")) == before
    assert not (tmp_path / ".out.unfinished").exists()


def test_full_disk_is_one_clear_error(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # /dev/full refuses every write with ENOSPC, as a full disk does.
    monkeypatch.setattr(cub200.shards, "write_manifest", lambda *_: Path("/dev/full").write_text("x"))

    with pytest.raises(OutputError, match=r"out: .*No space left on device; free some 3 GB there"):
        cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"short_side": 255}, "--short-side 255 is out of range; give 256 to 512"),
        ({"short_side": 513}, "--short-side 513 is out of range"),
        ({"validation": 0}, "--validation 0 is no share; give a number above 0 and below 1"),
        ({"validation": 1}, "--validation 1 is no share"),
        ({"validation": float("nan")}, "--validation nan is no share"),
        ({"uri": "bucket/prefix"}, "--uri bucket/prefix is no prefix of objects; give one such as s3://bucket/prefix"),
        ({"uri": "s3://"}, "--uri s3:// is no prefix"),
    ],
)
def test_impossible_treatment_is_one_clear_error(wrong: dict[str, object], said: str):
    with pytest.raises(DatasetError, match=said):
        Treatment(**wrong)


@pytest.mark.parametrize("size", [{"shards": 2}, {"shard_mb": 1.0}])
def test_shards_are_refused_where_each_photograph_is_a_file(size: dict[str, float]):
    with pytest.raises(DatasetError, match="--shards and --shard-mb are for shards, but as jpeg each record is a file"):
        Sharding(form=JPEG, **size)


def test_prefix_is_refused_where_there_is_no_augmented_manifest(drawn: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"--uri s3://b/p is for the augmented manifest, .* none of as tfrecord"):
        cub200.prepare(Published(drawn), tmp_path / "out", Sharding(form=TFRECORD), Treatment(uri="s3://b/p"))


def test_real_photographs_are_prepared_whole(real_birds: Path, tmp_path: Path):
    manifest = cub200.prepare(Published(real_birds), tmp_path / "out", AS_JPEG)

    found = {channel: keys(tmp_path / "out", channel) for channel in cub200.CHANNELS}
    if sum(map(len, found.values())) == 543:  # ten of the species
        assert {channel: len(part) for channel, part in found.items()} == {"train": 270, "validation": 30, "test": 243}
        assert set(Counter(key[:3] for key in found["validation"]).values()) == {3}
    assert cub200.hyperparameters(manifest) == {"classes": "200"}
