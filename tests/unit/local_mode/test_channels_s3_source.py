"""S3 as a source, against a server that misbehaves: nothing is mixed, lost, or waited for without end."""

import gzip
import json
import os
import random
import threading

import pytest

from local_mode.channels import s3 as s3_module
from local_mode.channels.ahead import PART_BYTES
from local_mode.channels.copying import copy_channel
from local_mode.channels.delivery import Delivery
from local_mode.channels.objects import ObjectError, find
from local_mode.channels.plan import ChannelSpec, feeder_document, plan_channel
from local_mode.channels.s3_access import S3Access
from local_mode.channels.s3_source import S3Source
from local_mode.channels.sending import Outlet
from local_mode.errors import SourceError
from tests.s3_server import Faulty, access

BIG = random.Random(7).randbytes(3 * PART_BYTES + 12_345)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(s3_module, "_PAUSE_SECONDS", 0.001)


def spec(uri, mode="Pipe", **how):
    return ChannelSpec(name="train", uri=uri, mode=mode, **how)


def plan(source, uri, mode="Pipe", **how):
    return plan_channel(spec(uri, mode, **how), s3=source)


def streamed(source, planned, scratch, meanwhile=lambda: None):
    """An epoch of a planned channel; `meanwhile` happens once its first bytes are there."""
    (channel,) = feeder_document([planned], folder=scratch, parent=None)["channels"]
    delivery = Delivery(json.loads(json.dumps(channel)), scratch, source)
    reading, writing = os.pipe()
    got = []

    def read():
        with os.fdopen(reading, "rb", buffering=0) as stream:
            got.append(stream.read(1))
            meanwhile()
            got.append(stream.readall())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        delivery.load()
        delivery.send(delivery.order(0), Outlet(writing, lambda _: None))
    finally:
        os.close(writing)
        reader.join()
    return b"".join(got)


def test_prefix_is_textual_and_folder_markers_are_no_objects(tmp_path):
    store = Faulty(objects={"t/in/b": b"B", "t/in/a/x": b"AX", "t/in-more": b"M", "t/in/": b"", "other": b"O"})
    with store.source() as source:
        planned = plan(source, "s3://b/t/in")
        assert [(item.name, item.key, item.size) for item in planned.objects] == [
            ("in-more", "s3://b/t/in-more", 1),
            ("a/x", "s3://b/t/in/a/x", 2),
            ("b", "s3://b/t/in/b", 1),
        ]
        assert "also matches in-more" in planned.surprise
        assert streamed(source, planned, tmp_path) == b"MAXB"


@pytest.mark.parametrize(
    ("keys", "uri", "message"),
    [
        ([], "s3://b/p", 'No S3 objects found under S3 URL "s3://b/p" given in input data source'),
        (["p/"], "s3://b/p", "Please ensure that the bucket exists and that objects exist under that S3 prefix"),
        (["p/../../x"], "s3://b/p/", "s3://b/p/../../x cannot be a file below a channel"),
        (["p//x"], "s3://b/p/", "s3://b/p//x cannot be a file below a channel"),
        (["p/a", "p/a/b"], "s3://b/p/", "both an object s3://b/p/a and objects below it"),
        (["d/p/p", "d/p"], "s3://b/d/p", "at the same place, p; use a longer prefix"),
        (["x"], "s3://", "'s3://' names no bucket"),
    ],
)
def test_objects_that_cannot_be_files_are_refused_where_files_are_made(keys, uri, message):
    store = Faulty(objects={key: b"" if key.endswith("/") else b"x" for key in keys})
    with store.source() as source, pytest.raises(SourceError, match=message):
        plan(source, uri, "File")


def test_keys_that_cannot_be_files_are_streamed_all_the_same(tmp_path):
    with Faulty(objects={"p/a": b"1", "p/a/b": b"2", "p//x": b"3", "p/../y": b"4"}).source() as source:
        assert streamed(source, plan(source, "s3://b/p/"), tmp_path) == b"4312"


def test_large_object_is_read_by_several_connections_and_comes_in_order(tmp_path):
    store = Faulty(objects={"big": BIG, "last": b"end"})
    with store.source() as source:
        planned = plan(source, "s3://b/")
        store.together = 4
        assert streamed(source, planned, tmp_path) == BIG + b"end"
    assert store.most_at_once >= 4
    assert all(span for method, key, span in store.requests if method == "GET" and key)


def test_small_objects_do_not_cost_a_round_trip_each(tmp_path):
    store = Faulty(objects={f"k{number:03}": bytes([number]) for number in range(100)})
    with store.source() as source:
        planned = plan(source, "s3://b/k")
        store.together = 4
        assert streamed(source, planned, tmp_path) == bytes(range(100))
    assert store.most_at_once >= 4


@pytest.mark.parametrize("mode", ["Pipe", "File"])
def test_connection_reset_in_an_object_is_resumed_and_the_bytes_are_the_same(tmp_path, mode):
    store = Faulty(objects={"big": BIG}, resets={"big": [1 << 20, 5 << 20, 0, 100, 7 << 20]})
    with store.source() as source:
        planned = plan(source, "s3://b/big", mode)
        if mode == "Pipe":
            assert streamed(source, planned, tmp_path) == BIG
        else:
            copy_channel(planned, tmp_path, s3=source)
            assert (tmp_path / "big").read_bytes() == BIG
    assert store.resets == {"big": []}
    resumed = [span for _, _, span in store.requests if int(span.removeprefix("bytes=").partition("-")[0]) % PART_BYTES]
    assert resumed, "at least one request goes on in the middle of a part"


@pytest.mark.parametrize("mode", ["Pipe", "File"])
def test_connection_that_is_always_reset_is_given_up(tmp_path, mode):
    store = Faulty(objects={"k": bytes(1000)}, resets={"k": [10] * 100})
    with store.source() as source:
        planned = plan(source, "s3://b/k", mode)
        with pytest.raises(ObjectError, match="s3://b/k cannot be read, after 6 tries"):
            if mode == "Pipe":
                streamed(source, planned, tmp_path)
            else:
                copy_channel(planned, tmp_path, s3=source)
    assert len(store.resets["k"]) >= 94


def changed(store):
    store.objects["big"] = BIG[::-1]


def gone(store):
    store.objects.pop("big", None)


@pytest.mark.parametrize(
    ("harm", "message"), [(changed, "s3://b/big changed while it was read: it had ETag"), (gone, "s3://b/big is gone")]
)
@pytest.mark.parametrize("mode", ["Pipe", "File"])
def test_object_that_is_not_what_it_was_is_an_error_and_never_a_mixture(tmp_path, harm, message, mode):
    count = iter(range(1000))
    store = Faulty(objects={"big": BIG})
    with store.source() as source:
        planned = plan(source, "s3://b/big", mode)
        store.before["big"] = lambda: harm(store) if next(count) == 2 else None
        with pytest.raises(ObjectError, match=message):
            if mode == "Pipe":
                streamed(source, planned, tmp_path)
            else:
                copy_channel(planned, tmp_path, s3=source)


def test_reference_that_changes_between_its_parts_is_an_error(tmp_path):
    count = iter(range(1000))
    store = Faulty(objects={"big": BIG, "lines": b'{"a-ref": "s3://b/big"}\n'})
    store.before["big"] = lambda: changed(store) if next(count) == 2 else None
    with store.source() as source:
        planned = plan(source, "s3://b/lines", data_type="AugmentedManifestFile", attributes=("a-ref",))
        with pytest.raises(ObjectError, match="s3://b/big changed while it was read"):
            streamed(source, planned, tmp_path)


def test_augmented_manifest_streams_what_it_refers_to(tmp_path):
    lines = [{"a-ref": f"s3://b/img/{number}", "n": number} for number in range(60)]
    store = Faulty(objects={f"img/{number}": bytes([number]) * (number % 7) for number in range(60)})
    store.objects["img/5"] = BIG
    store.objects["lines"] = "\n".join(map(json.dumps, lines)).encode()
    with store.source() as source:
        planned = plan(source, "s3://b/lines", data_type="AugmentedManifestFile", attributes=("a-ref", "n"))
        expected = b"".join(store.objects[f"img/{number}"] + str(number).encode() for number in range(60))
        assert streamed(source, planned, tmp_path) == expected
    assert not [request for request in store.requests if request[0] == "HEAD" and request[1] == "img/5"]


def test_gzip_and_record_io_are_made_of_parts(tmp_path):
    store = Faulty(objects={"1": gzip.compress(BIG, 1), "2": gzip.compress(b"two")})
    with store.source() as source:
        assert streamed(source, plan(source, "s3://b/", compression="Gzip"), tmp_path) == BIG + b"two"
        framed = streamed(source, plan(source, "s3://b/2", compression="Gzip", record_wrapper="RecordIO"), tmp_path)
    assert framed == bytes.fromhex("0a23d7ce 03000000") + b"two\0"


@pytest.mark.parametrize("full_keys", [True, False])
def test_manifest_names_objects_of_a_bucket_in_its_own_order(tmp_path, full_keys):
    store = Faulty(objects={"k/a/1": b"one", "k/2": b"two", "l": b'[{"prefix": "s3://b/k/"}, "2", "a/1"]'})
    with store.source() as source:
        planned = plan(source, "s3://b/l", "File", data_type="ManifestFile", full_keys=full_keys)
        copy_channel(planned, tmp_path / "copy", s3=source)
        piped = plan(source, "s3://b/l", data_type="ManifestFile")
        assert streamed(source, piped, tmp_path) == b"twoone"
        store.objects["l"] = b'[{"prefix": "s3://b/k/"}, "2", "nowhere"]'
        with pytest.raises(SourceError, match="names 'nowhere', but s3://b/k/nowhere cannot be read: there is no such"):
            plan(source, "s3://b/l", data_type="ManifestFile")
    found = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert found == ({"k/2", "k/a/1"} if full_keys else {"2", "a/1"})


def test_shuffled_shards_are_all_there_is_and_differ_by_epoch(tmp_path):
    store = Faulty(objects={f"k{number}": str(number).encode() for number in range(10)})
    with store.source() as source:
        shares = [
            streamed(
                source,
                plan_channel(spec("s3://b/", distribution="ShardedByS3Key", seed=3), host=host, hosts=3, s3=source),
                tmp_path,
            )
            for host in range(3)
        ]
    assert sorted(b"".join(shares)) == sorted(b"0123456789")
    assert b"".join(shares) != b"0123456789"


def test_many_files_are_copied_at_once_and_told_of(tmp_path):
    store = Faulty(objects={f"d/{number}": bytes([number]) for number in range(100)} | {"d/empty": b""})
    told = []
    with store.source() as source:
        planned = plan(source, "s3://b/d/", "File")
        store.together = 4
        copy_channel(planned, tmp_path, s3=source, told=told.append)
    assert store.most_at_once >= 4
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        key.removeprefix("d/"): data for key, data in store.objects.items()
    }
    assert sum(told) == 100


def test_slow_server_slows_the_stream_and_changes_nothing(tmp_path):
    store = Faulty(objects={f"k{number}": BIG[: 300_000 + number] for number in range(4)}, bytes_per_second=1 << 20)
    with store.source() as source:
        assert streamed(source, plan(source, "s3://b/"), tmp_path) == b"".join(store.objects.values())


def test_objects_are_read_from_any_offset():
    with Faulty(objects={"k": BIG}).source() as source:
        found, key = find("s3://b/k", source)
        stream = found.read(key, PART_BYTES - 1)
        assert bytes(stream.read(1)) + bytes(stream.read(2)) == BIG[PART_BYTES - 1 : PART_BYTES + 2]
        stream.close()


def test_server_that_is_not_there_is_one_clear_error():
    source = S3Source(access("http://127.0.0.1:9"))
    with pytest.raises(SourceError, match="Channel 'train': Cannot list s3://b/: Could not connect to the endpoint"):
        plan(source, "s3://b/")


def test_access_goes_through_the_environment_and_back():
    here = access("http://127.0.0.1:9")
    assert S3Access.from_environment(here.environment()) == here
    assert S3Access.from_environment({}) is None
