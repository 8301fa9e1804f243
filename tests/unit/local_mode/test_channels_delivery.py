"""Delivery: what becomes of objects on their way into a FIFO, wherever they are kept."""

import gzip
import hashlib
import io
import json
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_mode.channels import delivery
from local_mode.channels.delivery import Delivery
from local_mode.channels.objects import Found, ObjectError
from local_mode.channels.sending import Outlet

SMALL = delivery._SMALL_BYTES


def record(payload):
    return bytes.fromhex("0a23d7ce") + len(payload).to_bytes(4, "little") + payload + bytes(-len(payload) % 4)


def described(objects, attributes=(), **how):
    items = [{"key": str(key), "size": size} for key, size in objects]
    return {"objects": items, "attributes": attributes, "record_io": False, "gzip": False, "order": {}, **how}


class Memory:
    """A store that is no folder, as S3 will be: what it opens is no file of this machine."""

    def __init__(self, **contents):
        self.contents = {f"s3://bucket/{name}": content for name, content in contents.items()}

    def list(self, prefix):
        return [self.one(key) for key in sorted(self.contents) if key.startswith(prefix)]

    def one(self, key):
        if key not in self.contents:
            raise FileNotFoundError(2, "No such key", key)
        return Found(key, len(self.contents[key]))

    def read(self, key, offset=0):
        self.one(key)
        return io.BytesIO(self.contents[key][offset:])


def sent(channel, scratch, epoch=0):
    """What comes out of a pipe, and how many bytes were counted."""
    reading, writing = os.pipe()
    got, counts = [], []
    with os.fdopen(reading, "rb") as stream:
        reader = threading.Thread(target=lambda: got.append(stream.read()))
        reader.start()
        try:
            channel = Delivery(channel, scratch)
            channel.load()
            channel.send(channel.order(epoch), Outlet(writing, counts.append))
        finally:
            os.close(writing)
            reader.join()
    assert sum(counts) == len(got[0])
    return got[0]


def files(folder, *contents):
    paths = [folder / f"{number:03}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return [(path, path.stat().st_size) for path in paths]


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL + 2])
def test_records_are_framed_alike_whether_they_are_gathered_or_sent_by_the_kernel(tmp_path, size):
    contents = [b"x", bytes(size), b"yz" * size, b""]

    expected = b"".join(map(record, contents))
    assert sent(described(files(tmp_path, *contents), record_io=True), tmp_path) == expected


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(st.binary(max_size=200), max_size=5),
    record_io=st.booleans(),
    packed=st.booleans(),
    seed=st.none() | st.integers(0, 9),
)
def test_every_way_to_send_objects_agrees_with_the_plain_one(tmp_path_factory, contents, record_io, packed, seed):
    folder = tmp_path_factory.mktemp("delivery")
    objects = files(folder, *(gzip.compress(content) if packed else content for content in contents))
    channel = described(objects, record_io=record_io, gzip=packed, order={"seed": seed})

    turn = Delivery(channel, folder).order(2)
    expected = b"".join(record(contents[index]) if record_io else contents[index] for index in turn)
    assert sent(channel, folder, epoch=2) == expected


@pytest.mark.parametrize("record_io", [False, True])
@pytest.mark.parametrize(("planned", "now"), [(4, 2), (4, 9), (100_000, 90_000), (100_000, 100_001), (0, 1)])
def test_object_of_another_size_than_planned_is_named(tmp_path, record_io, planned, now):
    ((path, _),) = files(tmp_path, bytes(now))

    with pytest.raises(
        ObjectError, match=f"^{path} changed while it was streamed: it had {planned} bytes, then {now}$"
    ):
        sent(described([(path, planned)], record_io=record_io), tmp_path)


@pytest.mark.parametrize("record_io", [False, True])
def test_other_kinds_of_store_are_read_through_the_same_door(tmp_path, monkeypatch, record_io):
    lines = [{"image-ref": f"s3://bucket/{name}", "label": name} for name in "ba"]
    store = Memory(a=b"A" * 100_000, b=b"B", list="\n".join(map(json.dumps, lines)).encode())
    monkeypatch.setattr(delivery, "find", lambda uri, s3: (store, uri))
    found = [(item.key, item.size) for item in store.list("s3://bucket/")[:2]]
    manifest = [("s3://bucket/list", 1)]

    framed = record if record_io else bytes
    assert sent(described(found, record_io=record_io), tmp_path) == framed(b"A" * 100_000) + framed(b"B")
    pieces = [b"B", b"b", b"A" * 100_000, b"a"]
    augmented = described(manifest, ["image-ref", "label"], record_io=record_io)
    assert sent(augmented, tmp_path) == b"".join(map(framed, pieces))
    with pytest.raises(ObjectError, match="^cannot read s3://bucket/c: No such key$"):
        sent(described([("s3://bucket/c", 1)]), tmp_path)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "s3://bucket/x",
            "^{list}, line 1, attribute 'a-ref': local_mode does not read or write 's3://bucket/x' here",
        ),
        ("{folder}/none", r"^cannot read {folder}/none \({list}, line 1, attribute 'a-ref'\): No such file"),
        ("{folder}", r"^cannot read {folder} \({list}, line 1, attribute 'a-ref'\): it is not a plain file"),
        ("", "^{list}, line 1, attribute 'a-ref': '' names no path"),
        ("/half\ud800", "line 1, attribute 'a-ref': '/half.*' names no path"),
        ("/a\0b", "line 1, attribute 'a-ref': '/a.*b' names no path"),
    ],
)
def test_reference_that_leads_nowhere_is_named_with_its_line(tmp_path, uri, message):
    names = {"folder": tmp_path, "list": tmp_path / "list"}
    names["list"].write_text(json.dumps({"a-ref": uri.format(**names)}))

    with pytest.raises(ObjectError, match=message.format(**names)):
        sent(described([(names["list"], 1)], ["a-ref"]), tmp_path)


def test_order_of_lines_is_shuffled_as_that_of_objects_is(tmp_path):
    names = [f"{number:02}" for number in range(20)]
    (tmp_path / "list").write_text("\n".join(json.dumps({"v": name}) for name in names))
    lines = described([(tmp_path / "list", 1)], ["v"], order={"seed": 5, "host": 1, "hosts": 3})
    (tmp_path / "data").mkdir()
    paths = [tmp_path / "data" / name for name in names]
    for path in paths:
        path.write_text(path.name)
    objects = described([(path, 2) for path in paths], order={"seed": 5, "host": 1, "hosts": 3})

    first, second = (sent(lines, tmp_path, epoch) for epoch in (0, 1))
    assert [first, second] == [sent(objects, tmp_path, epoch) for epoch in (0, 1)]
    assert (len(first), first == second) == (14, False)


def test_long_gzip_is_measured_outside_memory_and_sent_whole(tmp_path):
    content = os.urandom(1 << 20) * 40
    packed = tmp_path / "big.gz"
    packed.write_bytes(gzip.compress(content, 1))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    stream = sent(described([(packed, packed.stat().st_size)], record_io=True, gzip=True), scratch)

    assert hashlib.sha256(stream).digest() == hashlib.sha256(record(content)).digest()
    assert list(scratch.iterdir()) == []
