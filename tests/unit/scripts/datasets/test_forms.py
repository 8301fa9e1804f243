import json
import time
from pathlib import Path

import numpy as np
import pytest
from trainjob import cifar10 as records
from trainjob.channel import Channel
from trainjob.contract import Paths
from trainjob.dataset import Dataset
from trainjob.environment import ChannelConfig
from trainjob.framing import example, recordio
from trainjob.stop import Stop

from scripts.datasets import cifar10, drawing
from scripts.datasets.forms import FIXED, FORMS, RECORDIO, TFRECORD, Form
from scripts.datasets.shards import Sharding

FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The published layout, with 40 records a file."""
    folder = tmp_path / "published"
    folder.mkdir()
    for seed, name in enumerate(cifar10.FILES):
        drawing.draw(40, seed).tofile(folder / name)
    return folder


def batches(out: Path, form: Form) -> list[np.ndarray]:
    """Two epochs of the train channel, as a program sees them."""
    paths = Paths(out)
    if not paths.data.exists():
        paths.data.mkdir(parents=True)
        paths.channel("train").symlink_to(out / "train")
    config = ChannelConfig(name="train", input_mode="File", content_type=form.content_type)
    dataset = Dataset(
        channel=Channel(config, paths, Stop()),
        record_bytes=records.RECORD_BYTES,
        batch_size=32,
        window=60,
        seed=3,
        decode=records.rows,
    )
    return [batch.copy() for number in range(2) for batch in dataset.epoch(number)]


def test_every_form_gives_a_program_the_same_batches(published: Path, tmp_path: Path):
    # As many shards as it likes: what a channel holds is one stream.
    for shards, form in enumerate(FORMS.values(), start=2):
        cifar10.prepare(cifar10.Published(published), tmp_path / form.name, Sharding(form=form, shards=shards))

    fixed, *others = (batches(tmp_path / form.name, form) for form in FORMS.values())

    assert sum(map(len, fixed)) == 2 * 200
    for other in others:
        assert all(np.array_equal(one, two) for one, two in zip(fixed, other, strict=True))


def test_example_has_the_image_by_pixels_and_the_label_as_a_number():
    row = drawing.draw(10, 0)[0]

    payload = bytes(TFRECORD.encode(row[None], records.to_example))[12:-4]

    features = example.read(payload)
    assert features["label"].tolist() == [row[0]]
    pixels = np.frombuffer(features["image"][0], np.uint8).reshape(32, 32, 3)
    assert np.array_equal(pixels.transpose(2, 0, 1), row[1:].reshape(3, 32, 32))


def test_recordio_holds_the_published_record():
    rows = drawing.draw(10, 0)

    content = bytes(RECORDIO.encode(rows, records.to_example)).split(recordio.MAGIC)[1:]

    assert [part[4 : 4 + records.RECORD_BYTES] for part in content] == [row.tobytes() for row in rows]


@FORM
def test_manifest_tells_the_form_and_the_true_size_of_every_shard(form: Form, published: Path, tmp_path: Path):
    cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(form=form, shards=3))

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["format"], manifest["shards"]) == (form.name, 3)
    listed = {shard["file"]: shard["bytes"] for channel in manifest["channels"].values() for shard in channel}
    assert listed == {
        f"{channel}/{path.name}": path.stat().st_size
        for channel in ("train", "validation")
        for path in (tmp_path / "out" / channel).iterdir()
    }
    assert f"train/part-002{form.suffix}" in listed


@FORM
def test_size_of_shards_bounds_every_file_of_every_channel(form: Form, published: Path, tmp_path: Path):
    manifest = cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(form=form, shard_mb=0.1))

    counts = {channel: [shard["records"] for shard in files] for channel, files in manifest["channels"].items()}
    per_shard = 32 if form is FIXED or form is RECORDIO else 31
    assert counts["train"] == [per_shard] * 6 + [200 - 6 * per_shard]
    assert counts["validation"] == [per_shard, 40 - per_shard]
    sizes = [shard["bytes"] for files in manifest["channels"].values() for shard in files]
    assert max(sizes) <= 100_000


def test_each_shard_asked_for_is_made_however_few_records_are_left_for_it(published: Path, tmp_path: Path):
    manifest = cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=150))

    assert [shard["records"] for shard in manifest["channels"]["train"]] == [2] * 50 + [1] * 100


@pytest.mark.parametrize(
    "other",
    [Sharding(form=TFRECORD, shards=2), Sharding(form=RECORDIO, shards=3), Sharding(form=RECORDIO, shard_mb=0.1)],
    ids=["format", "count", "size"],
)
def test_another_form_or_size_is_written_anew_and_the_same_is_left_alone(
    other: Sharding, published: Path, tmp_path: Path
):
    source, out = cifar10.Published(published), tmp_path / "out"
    before = cifar10.prepare(source, out, Sharding(form=RECORDIO, shards=2))
    folder = out.stat().st_ino
    assert cifar10.prepare(source, out, Sharding(form=RECORDIO, shards=2)) == before
    assert out.stat().st_ino == folder

    after = cifar10.prepare(source, out, other)

    assert out.stat().st_ino != folder
    files = {path.relative_to(out).as_posix() for path in out.rglob("part-*")}
    assert files == {shard["file"] for channel in after["channels"].values() for shard in channel}
    assert {Path(name).suffix for name in files} == {other.form.suffix}


def test_default_count_is_the_same_whether_it_is_typed_or_not(published: Path, tmp_path: Path):
    cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding())
    folder = (tmp_path / "out").stat().st_ino

    cifar10.prepare(cifar10.Published(published), tmp_path / "out", Sharding(shards=5))

    assert (tmp_path / "out").stat().st_ino == folder


@FORM
def test_encoding_keeps_up_with_a_data_set_of_this_size(form: Form):
    rows = drawing.draw(2000, 0)
    began = time.process_time()

    form.encode(rows, records.to_example)

    assert (time.process_time() - began) * 60_000 / len(rows) < 10  # seconds of all of CIFAR-10
