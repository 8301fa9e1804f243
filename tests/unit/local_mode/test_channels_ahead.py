"""Reading ahead from a far store: parts in parallel, in order, of one version each, and within a bound of memory."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_mode.channels import ahead
from local_mode.channels.ahead import Ahead, Wanted
from local_mode.channels.objects import Found, ObjectError, Part
from tests.s3_server import Faulty

END_SECONDS = 10


class Far:
    """A remote source in memory; it counts what is asked of it and not yet read."""

    def __init__(self, **contents):
        self.contents, self.asked, self.lengths, self.gate = contents, [], [], threading.Event()
        self.gate.set()

    def list(self, prefix):
        raise NotImplementedError

    def read(self, key, offset=0):
        raise NotImplementedError

    def one(self, key):
        return Found(key, len(self.contents[key]), "tag")

    def fetch(self, wanted, start, length, stop):
        self.asked.append((wanted.key, start))
        self.lengths.append(length)
        assert self.gate.wait(END_SECONDS)
        if wanted.key not in self.contents:
            raise ObjectError(f"{wanted.key} is gone")
        data = self.contents[wanted.key]
        return Part(data[start : start + length], Found(wanted.key, len(data), "tag"))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as made:
        yield made


def wanted(source, key, *, known=True):
    return Wanted(source=source, key=key, name=key, found=source.one(key) if known else None)


def drain(items, pool, **how):
    """What every item has, read in pieces of an odd size."""
    got = []
    with Ahead(items, pool, **how) as reading:
        for item in reading:
            if isinstance(item, bytes):
                got.append(item)
                continue
            with closing(reading.opened().stream) as stream:
                got.append(b"".join(iter(lambda stream=stream: stream.read(777), b"")))
    return got


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5000), max_size=20),
    known=st.booleans(),
    memory=st.sampled_from([1, 100, 3000, 1 << 20]),
    part=st.sampled_from([1 << 6, 1000, 1 << 20]),
)
def test_objects_come_whole_and_in_order_whatever_their_sizes_and_the_memory(sizes, known, memory, part):
    contents = {f"k{number}": random.Random(number).randbytes(size) for number, size in enumerate(sizes)}
    source = Far(**contents)
    items = [piece for key in contents for piece in (wanted(source, key, known=known), key.encode())]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(4) as pool:
        patch.setattr(ahead, "PART_BYTES", part)
        patch.setattr(ahead, "PROBE_BYTES", max(part // 3, 1))
        got = drain(items, pool, memory=memory)

    assert got == [piece for key, data in contents.items() for piece in (data, key.encode())]


def test_parts_under_way_are_bounded_by_the_memory(pool, monkeypatch):
    monkeypatch.setattr(ahead, "PART_BYTES", 100)
    source = Far(big=bytes(10_000), next=bytes(10_000))
    source.gate.clear()
    with Ahead([wanted(source, "big"), wanted(source, "next")], pool, memory=500) as reading:
        iterator = iter(reading)
        next(iterator)
        time.sleep(0.05)
        assert sum(source.lengths) == 500
        source.gate.set()
        stream = reading.opened().stream
        assert len(b"".join(iter(lambda: stream.read(100), b""))) == 10_000
        assert sum(source.lengths) <= 10_000 + 600


def test_next_objects_are_asked_for_while_the_first_is_under_way(pool):
    source = Far(**{f"k{number}": b"x" for number in range(200)})
    source.gate.clear()
    with Ahead((wanted(source, key) for key in source.contents), pool) as reading:
        next(iter(reading))
        deadline = time.monotonic() + END_SECONDS
        while len(source.asked) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        source.gate.set()


def test_what_is_wrong_ahead_is_raised_at_its_turn_and_not_before(pool):
    source = Far(a=b"a")

    def items():
        yield wanted(source, "a")
        yield wanted(source, "gone", known=False)
        yield b"never"

    got = []
    with pytest.raises(ObjectError, match="gone is gone"), Ahead(items(), pool) as reading:
        for _ in reading:
            with closing(reading.opened().stream) as stream:
                got.append(stream.read(10))
    assert got == [b"a"]

    def broken():
        yield b"first"
        raise ObjectError("line 2 is no JSON")

    got = []
    with pytest.raises(ObjectError, match="line 2 is no JSON"):
        got.extend(Ahead(broken(), pool))
    assert got == [b"first"]


def test_reader_that_leaves_early_waits_for_nothing(pool):
    store = Faulty(objects={"big": bytes(64 << 20)}, bytes_per_second=1 << 20)
    with store.source() as source:
        with Ahead([wanted(source, "s3://b/big")], pool) as reading:
            next(iter(reading))
        begun = time.monotonic()
        pool.shutdown(cancel_futures=True)
        assert time.monotonic() - begun < 6
