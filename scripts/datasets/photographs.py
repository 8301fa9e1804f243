"""Channels of photographs: a folder of JPEGs with an index and an augmented manifest, or shards of records.

What lies where, and the fields of each line and record, is in docs/photographs.md.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm
from trainjob.framing import example, recordio, tfrecord

from scripts.datasets import jpegs, shards
from scripts.datasets.forms import JPEG, RECORDIO, TFRECORD, Form
from scripts.datasets.jpegs import Jpeg
from scripts.datasets.shards import Shard, Sharding

FORMS = {form.name: form for form in (JPEG, RECORDIO, TFRECORD)}
INDEX = "index.jsonl"
ATTRIBUTES = ("source-ref", "label", "box", "key")
"""AttributeNames of a channel that streams the augmented manifest."""
_FILE = "file://"


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One photograph of a channel."""

    key: str
    label: int
    box: tuple[int, int, int, int]
    """Left, top, width, height, in pixels of this JPEG."""
    jpeg: Jpeg

    @property
    def attributes(self) -> dict[str, object]:
        """What is said of it in every form."""
        return {"label": self.label, "box": self.box}


def write_channel(
    root: Path, channel: str, photographs: Sequence[Photograph], sharding: Sharding, uri: str
) -> list[Shard]:
    """Writes one channel, its photographs in the order given.

    Args:
        root: where its files go.
        channel: its name.
        photographs: what it has.
        sharding: the form, and how shards are cut.
        uri: what `root` will be called in the augmented manifest.

    Raises:
        DatasetError: They cannot be divided into such shards.
    """
    form = sharding.form
    if form is JPEG:
        return _write_folder(root, channel, photographs, uri)
    # Zeros stand for a JPEG: only where RecordIO's magic is in one is the record longer, by a few bytes.
    sizes = [len(_encode(photograph, bytes(photograph.jpeg.bytes), form)) for photograph in photographs]
    lengths = sharding.lengths(channel, sizes)
    with tqdm(desc=f"{channel}, {form.name}", total=len(photographs), delay=1, disable=None) as bar:

        def encode(start: int, stop: int) -> Iterator[memoryview]:
            for photograph in photographs[start:stop]:
                yield _encode(photograph, photograph.jpeg.path.read_bytes(), form)
                bar.update()

        return shards.write_shards(root, channel, form.suffix, lengths, encode)


def manifest_name(channel: str) -> str:
    """The augmented manifest of a channel, beside its folder."""
    return f"{channel}.manifest"


def _write_folder(root: Path, channel: str, photographs: Sequence[Photograph], uri: str) -> list[Shard]:
    files = []
    for photograph in photographs:
        name, jpeg = f"{channel}/{photograph.key}", photograph.jpeg
        jpegs.link(jpeg.path, root / name)
        files.append(Shard(file=name, records=1, bytes=jpeg.bytes, sha256=jpeg.sha256))
    index = (_line({"key": item.key, **item.attributes}) for item in photographs)
    manifest = (
        _line({"source-ref": _address(uri, f"{channel}/{item.key}"), **item.attributes, "key": item.key})
        for item in photographs
    )
    files.append(shards.write_file(root, f"{channel}/{INDEX}", 0, index))
    files.append(shards.write_file(root, manifest_name(channel), 0, manifest))
    return files


def _encode(photograph: Photograph, jpeg: bytes, form: Form) -> memoryview:
    buffer, key = BytesIO(), photograph.key.encode()
    if form is TFRECORD:
        tfrecord.write(buffer, example.write({"image": jpeg, **photograph.attributes, "key": key}))
    else:
        # What the platform streams of a line of the augmented manifest, attribute by attribute.
        box = json.dumps(photograph.box, separators=(",", ":")).encode()
        for payload in (jpeg, str(photograph.label).encode(), box, key):
            recordio.write(buffer, payload)
    return buffer.getbuffer()


def _line(values: dict[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def _address(uri: str, name: str) -> str:
    """A key of S3 stands as it is; in a file's URI a blank or a percent sign may not."""
    return f"{uri}/{quote(name) if uri.startswith(_FILE) else name}"
