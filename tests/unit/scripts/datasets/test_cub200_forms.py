"""The same photographs in the same order, whichever form a channel has; and those that come from the archive."""

import io
import json
import os
import tarfile
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from trainjob.framing import example, recordio, tfrecord

from local_mode.channels.delivery import Delivery
from local_mode.channels.order import Order
from local_mode.channels.sending import Outlet
from scripts.datasets import cub200
from scripts.datasets.archive import Archive
from scripts.datasets.cub200 import Published
from scripts.datasets.forms import JPEG, RECORDIO, TFRECORD, Form
from scripts.datasets.photographs import ATTRIBUTES
from scripts.datasets.shards import Sharding


def prepared(drawn: Path, out: Path, form: Form, **sharding: float) -> Path:
    cub200.prepare(Published(drawn), out, Sharding(form=form, **sharding))
    return out


def content(out: Path, channel: str) -> bytes:
    """What the shards of a channel are, one after another."""
    return b"".join(path.read_bytes() for path in sorted((out / channel).iterdir()))


def streamed(manifest: Path) -> bytes:
    """What local_mode streams of an augmented manifest."""
    channel = {
        "objects": [{"key": str(manifest), "size": manifest.stat().st_size}],
        "attributes": ATTRIBUTES,
        "record_io": True,
        "gzip": False,
        "order": asdict(Order()),
    }
    delivery = Delivery(channel, manifest.parent)
    delivery.load()
    reader, writer = os.pipe()
    received = io.BytesIO()

    def drain() -> None:
        with os.fdopen(reader, "rb") as file:
            received.write(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        delivery.send(delivery.order(0), Outlet(writer, lambda count: None))
    finally:
        os.close(writer)
        thread.join(60)
    return received.getvalue()


@pytest.mark.parametrize("channel", cub200.CHANNELS)
def test_recordio_shards_are_what_pipe_mode_streams_of_the_augmented_manifest(
    channel: str, drawn: Path, tmp_path: Path
):
    folder, shards = (prepared(drawn, tmp_path / form.name, form) for form in (JPEG, RECORDIO))

    assert streamed(folder / f"{channel}.manifest") == content(shards, channel)


def test_name_with_signs_that_an_address_may_not_have_is_streamed_as_it_is(own_birds: Path, tmp_path: Path):
    old, new = "Scarlet_Reedling_0001.jpg", "a 100 %25 #1? \u00e9.jpg"
    images = own_birds / "images" / "001.Scarlet_Reedling"
    (images / old).rename(images / new)
    (own_birds / "images.txt").write_text((own_birds / "images.txt").read_text().replace(old, new))
    folder, shards = (prepared(own_birds, tmp_path / form.name, form) for form in (JPEG, RECORDIO))

    assert f"001.Scarlet_Reedling/{new}".encode() in content(shards, "train")
    assert streamed(folder / "train.manifest") == content(shards, "train")


def test_recordio_has_jpeg_label_box_and_key_of_each_photograph_as_records(drawn: Path, tmp_path: Path):
    folder, shards = (prepared(drawn, tmp_path / form.name, form) for form in (JPEG, RECORDIO))

    stream = io.BytesIO(content(shards, "train"))
    payloads = [
        part.data[start : start + length].tobytes()
        for part in recordio.read(stream)
        for start, length in zip(part.starts, part.lengths, strict=True)
    ]

    index = [json.loads(line) for line in (folder / "train" / "index.jsonl").read_text().splitlines()]
    assert payloads == [
        payload
        for entry in index
        for payload in (
            (folder / "train" / entry["key"]).read_bytes(),
            b"%d" % entry["label"],
            b"[%d,%d,%d,%d]" % tuple(entry["box"]),
            entry["key"].encode(),
        )
    ]


def test_tfrecord_has_an_example_of_each_photograph_in_the_same_order(drawn: Path, tmp_path: Path):
    folder, shards = (prepared(drawn, tmp_path / form.name, form) for form in (JPEG, TFRECORD))

    stream = io.BytesIO(content(shards, "test"))
    examples = [
        example.read(part.data[start : start + length])
        for part in tfrecord.read(stream)
        for start, length in zip(part.starts, part.lengths, strict=True)
    ]

    index = [json.loads(line) for line in (folder / "test" / "index.jsonl").read_text().splitlines()]
    assert [list(features) for features in examples] == [["image", "label", "box", "key"]] * len(index)
    for features, entry in zip(examples, index, strict=True):
        assert features["image"] == [(folder / "test" / entry["key"]).read_bytes()]
        assert features["label"].tolist() == [entry["label"]]
        assert features["box"].tolist() == entry["box"]
        assert features["key"] == [entry["key"].encode()]


@pytest.mark.parametrize("form", [RECORDIO, TFRECORD], ids=["recordio", "tfrecord"])
def test_number_and_size_of_shards_cut_the_same_stream_elsewhere(form: Form, drawn: Path, tmp_path: Path):
    one, three, small = (
        prepared(drawn, tmp_path / name, form, **sharding)
        for name, sharding in (("one", {"shards": 1}), ("three", {"shards": 3}), ("small", {"shard_mb": 0.2}))
    )

    assert len(list((three / "train").iterdir())) == 3
    sizes = [path.stat().st_size for path in sorted((small / "train").iterdir())]
    assert max(sizes) <= 200_000
    assert min(sizes[:-1]) > 100_000, "a shard ends only where the next photograph has no room"
    assert content(one, "train") == content(three, "train") == content(small, "train")


def test_archive_is_unpacked_into_the_same_channels_and_nothing_of_it_stays(drawn: Path, tmp_path: Path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(drawn, "CUB_200_2011")
        for other in ("attributes.txt", "CUB_200_2011/README", "CUB_200_2011/parts/parts.txt", "CUB_200_2011/../x"):
            archive.addfile(tarfile.TarInfo(other))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "c.tgz").write_bytes(buffer.getvalue())
    at_hand = Archive(address="http://127.0.0.1:9/c.tgz", md5="of no use: it lies there")

    out = tmp_path / "data" / "out"
    manifest = cub200.prepare(cub200.Downloaded(tmp_path / "data", at_hand), out, Sharding(form=JPEG))

    expected = cub200.prepare(Published(drawn), tmp_path / "out", Sharding(form=JPEG))
    kept = [
        {
            channel: [file for file in files if not file["file"].endswith(".manifest")]
            for channel, files in found["channels"].items()
        }
        for found in (manifest, expected)
    ]
    assert kept[0] == kept[1]
    assert {path.name for path in out.iterdir()} == {
        *cub200.CHANNELS, "train.manifest", "validation.manifest", "test.manifest", "manifest.json",
    }  # fmt: skip


def test_drawn_sample_lies_beside_its_channels_as_a_published_folder(tmp_path: Path):
    manifest = cub200.prepare(cub200.Drawn(), tmp_path / "out", Sharding(form=RECORDIO))

    again = cub200.prepare(Published(tmp_path / "out"), tmp_path / "again", Sharding(form=RECORDIO))

    assert manifest["channels"] == again["channels"]
    assert [sum(file["records"] for file in manifest["channels"][name]) for name in cub200.CHANNELS] == [270, 30, 300]
