"""Objects on disk: pieces, the index, and what a killed process leaves."""

import os
from itertools import pairwise

import pytest

from local_mode.errors import LocalModeError
from local_mode.object_store.index import Bucket, Record
from local_mode.object_store.objects import ObjectStore
from local_mode.object_store.pieces import Piece


@pytest.fixture
def store(tmp_path):
    made = ObjectStore(tmp_path)
    yield made
    made.close()


def record(*pieces, key="k", **more):
    return Record(bucket="b", key=key, etag="0" * 32, modified=1.5, pieces=pieces, **more)


def names(store):
    return {path.name for path in store.folder.path.iterdir()}


def read(store, pieces, *span):
    reader = store.reader(pieces, *span)
    data = b"".join(reader)
    reader.close()
    return data


def test_record_comes_back_as_it_was_written(store):
    piece = store.folder.write([b"da", b"ta"])
    written = record(
        piece,
        key="a/../b 🐍\n\x00",
        headers={"content-type": "x/y", "x-amz-meta-a": "b"},
        tags={"t": "u"},
        storage="GLACIER",
        checksum={"algorithm": "CRC32", "parts": 2},
        encryption="AES256",
    )
    store.put(written)

    assert store.records("b") == [written]
    assert store.index.record("b", written.key) == written
    assert store.records("other") == []
    assert read(store, written.pieces) == b"data"


def test_replaced_and_dropped_objects_leave_no_bytes_but_those_still_wanted(store):
    first, second, third = (store.folder.write([b"x"]) for _ in range(3))
    store.put(record(first))
    store.put(record(second), wanted=[first.name])
    assert names(store) == {first.name, second.name, third.name}
    store.put(record(third))
    assert names(store) == {first.name, third.name}
    store.drop("b", "k")
    store.drop("b", "never there")
    assert names(store) == {first.name}


def test_next_store_knows_all_and_removes_what_no_index_names(tmp_path):
    first = ObjectStore(tmp_path)
    kept = first.folder.write([b"kept"])
    first.put(record(kept))
    first.index.add_bucket(Bucket(name="b", region="eu-west-1", created=2.5))
    first.folder.write([b"never indexed"])
    body = first.body(tagged=True)
    body.write(bytes(2 << 20))  # an upload that a kill cuts short
    first.close()

    second = ObjectStore(tmp_path)

    assert names(second) == {kept.name}
    assert second.buckets() == [Bucket(name="b", region="eu-west-1", created=2.5)]
    assert second.records("b") == [record(kept)]
    second.close()
    body.close()


def test_spans_reach_over_pieces(store):
    data = os.urandom(700_000)
    cuts = (0, 300_000, 300_000, 300_001, 700_000)
    pieces = [store.folder.write([data[start:end]]) for start, end in pairwise(cuts)]

    for start, end in ((0, 700_000), (299_999, 300_002), (300_000, 300_001), (5, 6), (699_999, 700_000), (4, 4)):
        assert read(store, pieces, start, end - start) == data[start:end]


def test_piece_that_is_being_read_is_removed_afterwards(store):
    piece = store.folder.write([bytes(10)])
    first, second = store.reader([piece]), store.reader([piece])
    store.folder.remove([piece.name])
    first.close()
    first.close()
    assert b"".join(second) == bytes(10)
    second.close()
    assert names(store) == set()


def test_piece_that_was_cut_is_told(store):
    piece = store.folder.write([bytes(10)])
    (store.folder.path / piece.name).write_bytes(bytes(4))
    reader = store.reader([piece])
    with pytest.raises(LocalModeError, match="ends 6 bytes early.*put the object again"):
        list(reader)
    reader.close()


def test_write_that_fails_leaves_nothing(store):
    def broken():
        yield b"some"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.folder.write(broken())
    assert names(store) == set()


def test_links_have_bytes_of_their_own(store):
    piece = store.folder.write([b"data"])
    (linked,) = store.folder.link([piece])
    store.folder.remove([piece.name])
    assert (read(store, [linked]), linked.size) == (b"data", 4)


@pytest.mark.parametrize("size", [0, 10, 1 << 20, (1 << 20) + 1])
def test_body_is_read_again_and_removed_unless_it_is_kept(store, size):
    data = os.urandom(size)
    for keeps in (False, True):
        with store.body(tagged=True) as body:
            for start in range(0, size, 100_000):
                body.write(data[start : start + 100_000])
            body.rewind()
            assert body.read() == data
            piece = body.keep() if keeps else Piece(name="", size=0)
        assert names(store) == ({piece.name} if keeps else set())
    assert read(store, [piece]) == data


def test_folder_that_is_no_database_is_told(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(LocalModeError, match="index.sqlite cannot be read.*move the folder"):
        ObjectStore(tmp_path)


def test_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalModeError, match="Cannot keep the objects of S3.*give another --root"):
        ObjectStore(tmp_path / "file" / "s3")
