"""RecordIO over any byte source, against a reader of struct calls."""

import io
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainjob.errors import RecordError, TruncatedRecordError
from trainjob.framing import recordio

from tests.unit.trainjob.framing.streams import Dribble, outcome

pytestmark = pytest.mark.timeout(60)

MAGIC = b"\x0a\x23\xd7\xce"

sizes = st.lists(st.integers(1, 40), max_size=8)
buffers = st.sampled_from([1, 9, 64, 1000])
piece = st.one_of(st.just(MAGIC), st.just(MAGIC[:2]), st.binary(max_size=9))
payload = st.one_of(st.binary(max_size=40), st.lists(piece, max_size=6).map(b"".join))
alike = st.integers(0, 12).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=90))
mixed = st.lists(payload, max_size=40)
runs = st.lists(st.tuples(payload, st.integers(1, 80)), max_size=6).map(
    lambda runs: [payload for payload, count in runs for _ in range(count)]
)
payload_lists = st.one_of(alike, mixed, runs)


def frame(content: bytes, flag: int = 0) -> bytes:
    return MAGIC + struct.pack("<I", flag << 29 | len(content)) + content + bytes(-len(content) % 4)


def written(payloads: list[bytes]) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        recordio.write(file, payload)
    return file.getvalue()


def reference(content: bytes) -> list[tuple[int, int, bytes]]:
    """Of every record: where it begins and ends, and its payload."""
    records, stream, parts, begin = [], io.BytesIO(content), [], 0
    while header := stream.read(8):
        magic, word = struct.unpack("<4sI", header)
        assert magic == MAGIC
        size = word & 0x1FFFFFFF
        parts.append(stream.read(size))
        stream.read(-size % 4)
        if word >> 29 in (0, 3):
            records.append((begin, stream.tell(), MAGIC.join(parts)))
            parts, begin = [], stream.tell()
    return records


def read(content: bytes, sizes: list[int] = [], **settings):  # noqa: B006 - not changed
    return outcome(recordio.read(Dribble(content, sizes), "it", **settings))


@given(payloads=payload_lists)
def test_reference_reads_what_the_writer_writes(payloads):
    content = written(payloads)
    assert [payload for _, _, payload in reference(content)] == payloads
    assert len(content) % 4 == 0


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        (b"", frame(b"")),
        (b"abc", frame(b"abc")),
        (b"abcde", frame(b"abcde")),
        (MAGIC, frame(b"", 1) + frame(b"", 3)),
        (MAGIC + MAGIC, frame(b"", 1) + frame(b"", 2) + frame(b"", 3)),
        (b"abcd" + MAGIC + b"xyz", frame(b"abcd", 1) + frame(b"xyz", 3)),
        (b"ab" + MAGIC + b"xy", frame(b"ab" + MAGIC + b"xy")),
    ],
)
def test_writer_cuts_a_payload_at_an_aligned_magic_as_dmlc_does(payload, encoded):
    assert written([payload]) == encoded
    assert read(encoded).payloads == [payload]


@given(payloads=payload_lists, sizes=sizes, buffer_bytes=buffers)
@settings(max_examples=300, deadline=None)
def test_records_are_the_payloads_however_the_stream_dribbles(payloads, sizes, buffer_bytes):
    ended = read(written(payloads), sizes, buffer_bytes=buffer_bytes)
    assert ended.error is None
    assert ended.payloads == payloads


@given(size=st.sampled_from([0, 1, 3, 4, 5]), count=st.integers(1, 100), sizes=sizes)
def test_small_payloads_of_one_length_are_read_without_their_padding(size, count, sizes):
    payloads = [bytes([index]) * size for index in range(count)]
    assert read(written(payloads), sizes, buffer_bytes=64).payloads == payloads


def test_parts_are_joined_bare_where_that_is_asked_for():
    payload = b"abcd" + MAGIC + b"efgh" + MAGIC + b"ij"
    assert read(written([payload, b"k"]), rejoin_magic=False).payloads == [b"abcdefghij", b"k"]
    assert read(written([payload, b"k"])).payloads == [payload, b"k"]


@given(
    payloads=st.lists(st.lists(piece, max_size=6).map(b"".join), min_size=1, max_size=40),
    sizes=sizes,
    buffer_bytes=buffers,
)
@settings(deadline=None)
def test_whole_frames_are_read_though_their_payloads_hold_the_magic(payloads, sizes, buffer_bytes):
    """The platform wraps an object as it is, and does not look for the magic in it."""
    payloads = [payload + b"end." for payload in payloads]
    ended = read(b"".join(frame(payload) for payload in payloads), sizes, buffer_bytes=buffer_bytes)
    assert ended.error is None
    assert ended.payloads == payloads


def test_wrapped_payload_that_is_magic_and_length_is_read():
    payloads = [MAGIC + struct.pack("<I", length) + b"abcd" for length in (0, 5, 8, 1000)]
    assert read(b"".join(frame(payload) for payload in payloads)).payloads == payloads


def test_object_that_is_itself_recordio_and_was_wrapped_is_refused_with_the_remedy():
    """It cannot be told from an empty record whose length was damaged."""
    content = frame(b"x") + frame(written([b"one", b"twotwo"]))
    with pytest.raises(RecordError, match=r"record 1 at byte offset 12 .*wrapped again \(then set RecordWrapperType"):
        list(recordio.read(io.BytesIO(content)))


@given(payloads=payload_lists.filter(bool), sizes=sizes, buffer_bytes=buffers, data=st.data())
@settings(max_examples=500, deadline=None)
def test_any_corrupted_byte_is_an_error_or_harms_at_most_its_record(payloads, sizes, buffer_bytes, data):
    content = bytearray(written(payloads))
    records = reference(content)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    harmed = next(index for index, (begin, end, _) in enumerate(records) if begin <= place < end)
    ended = read(bytes(content), sizes, buffer_bytes=buffer_bytes)
    check_harm(payloads, harmed, ended)


def check_harm(payloads, harmed, ended):
    assert ended.payloads[:harmed] == payloads[:harmed], "what comes before it is whole"
    if ended.error is None:
        assert len(ended.payloads) == len(payloads)
        assert ended.payloads[harmed + 1 :] == payloads[harmed + 1 :]
    else:
        assert len(ended.payloads) <= harmed + 1


MANY = [bytes([65 + index]) * size for index, size in enumerate([1, 5, 0, 9, 4, 0, 0, 3, 12, 7])]


@pytest.mark.parametrize(
    "payloads",
    [
        MANY,
        [b"sevenXX"] * 60,
        [b""] * 60,
        [b"abcd" + MAGIC + b"efgh" + MAGIC + b"z", *MANY, b"abcd" + MAGIC + b"efgh", b"tail", MAGIC + MAGIC, b"e"],
    ],
    ids=["mixed", "alike", "empty", "parts"],
)
def test_every_bit_of_every_header_is_covered(payloads):
    content = written(payloads)
    for harmed, (begin, end, _) in enumerate(reference(content)):
        for place in range(begin, end):
            for bit in range(8):
                damaged = bytearray(content)
                damaged[place] ^= 1 << bit
                check_harm(payloads, harmed, read(bytes(damaged)))


@pytest.mark.parametrize("flag", [0, 3])
def test_length_that_takes_in_the_records_after_it_is_refused(flag):
    """One changed byte can do it: the swallowed frames end just where the payload ends."""
    before = b"" if flag == 0 else frame(b"abcd", 1)
    for size in range(12):
        for taken in ([b""], [b"abc"], [b"abcd", b"e"], [b"", b""]):
            swallowed = b"x" * size + bytes(-size % 4) + b"".join(map(frame, taken))
            for cut in range(4):
                content = MAGIC + struct.pack("<I", flag << 29 | len(swallowed) - cut) + swallowed
                told = "holds whole records at its end" if flag == 0 else "has a part that holds RecordIO's magic"
                with pytest.raises(RecordError, match=told):
                    list(recordio.read(io.BytesIO(before + content + frame(b"last"))))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (frame(b"a", 2), "record 0 at byte offset 0 has a part with flag 2 where a first or whole one belongs"),
        (frame(b"a", 3), "record 0 at byte offset 0 has a part with flag 3 where a first or whole one belongs"),
        (frame(b"a", 1) + frame(b"b"), "record 0 at byte offset 12 has a part with flag 0 where a middle or last"),
        (frame(b"a", 1) + frame(b"b", 1), "record 0 at byte offset 12 has a part with flag 1 where a middle or last"),
        (frame(b"a") + frame(b"b", 5), "record 1 at byte offset 12 has the part flag 5; known are 0 to 3"),
        (frame(b"a") + b"12345678", "record 1 at byte offset 12 begins with 31323334, not with RecordIO's magic"),
    ],
)
def test_header_that_does_not_belong_is_told_with_record_and_offset(content, told):
    with pytest.raises(RecordError, match=told):
        list(recordio.read(io.BytesIO(content)))


@given(payloads=payload_lists.filter(bool), sizes=sizes, buffer_bytes=buffers, data=st.data())
@settings(max_examples=200, deadline=None)
def test_truncation_anywhere_is_told_with_offset_and_missing_bytes(payloads, sizes, buffer_bytes, data):
    content = written(payloads)
    cut = data.draw(st.integers(0, len(content)))
    ended = read(content[:cut], sizes, buffer_bytes=buffer_bytes)
    bounds = [0] + [end for _, end, _ in reference(content)]
    whole = sum(bound <= cut for bound in bounds) - 1
    assert ended.payloads == payloads[:whole]
    if cut in bounds:
        assert ended.error is None
        return
    assert isinstance(ended.error, TruncatedRecordError)
    parts, position = [], 0  # bounds of parts, headers included
    while position <= cut:
        begin = position
        position += len(frame(bytes(struct.unpack_from("<I", content, begin + 4)[0] & 0x1FFFFFFF)))
        parts.append((begin, position))
    begin, end = parts[-1]
    missing = (begin + 8 if cut - begin < 8 else end) - cut
    assert f"inside record {whole}: {missing} bytes missing at byte offset {cut};" in str(ended.error)


@pytest.mark.parametrize("flag", [0, 1])
@pytest.mark.parametrize("length", [1 << 20, (1 << 29) - 1])
def test_hostile_length_takes_no_memory(length, flag):
    content = written([b"first"]) + MAGIC + struct.pack("<I", flag << 29 | length) + b"x" * 5000
    tracemalloc.start()
    ended = read(content, [700], buffer_bytes=1000, max_record_bytes=1 << 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ended.payloads == [b"first"]
    assert isinstance(ended.error, TruncatedRecordError)
    assert peak < 60_000


@pytest.mark.parametrize("rejoin_magic", [True, False])
def test_parts_without_end_are_stopped_at_the_limit(rejoin_magic):
    content = frame(b"", 1) + frame(b"", 2) * 100_000
    tracemalloc.start()
    ended = read(content, buffer_bytes=1000, max_record_bytes=10_000, rejoin_magic=rejoin_magic)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "record 0 says it is 10004 bytes long, over the limit of 10000" in str(ended.error)
    assert peak < 900_000 + len(content), "the stream itself is in memory here"


def test_payload_of_nothing_but_magics_is_read_in_time():
    """Looking for swallowed records must not take the square of the payload."""
    payload = (MAGIC + bytes(4)) * 100_000 + b"end."
    assert read(frame(payload) + frame(b"x")).payloads == [payload, b"x"]


def test_record_over_the_limit_is_refused_and_one_at_the_limit_is_read():
    ended = read(written([b"x" * 100, b"abcd" * 12 + MAGIC + b"abcd" * 12, b"y" * 101]), max_record_bytes=100)
    assert len(ended.payloads) == 2
    assert "record 2 says it is 101 bytes long, over the limit of 100" in str(ended.error)


def test_record_larger_than_the_buffer_is_read():
    payloads = [b"s", b"L" * 3_000_001, b"t" + MAGIC, b"M" * 10_000 + MAGIC + b"N" * 5000]
    assert read(written(payloads), [65536], buffer_bytes=100).payloads == payloads


def test_stream_that_ends_at_once_gives_nothing():
    assert read(b"") == outcome(())
