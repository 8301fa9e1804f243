"""TFRecord over any byte source, against a reader of struct calls and a CRC of its own."""

import io
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainjob.errors import RecordError, TruncatedRecordError
from trainjob.framing import tfrecord

from tests.unit.trainjob.framing.streams import Dribble, outcome

pytestmark = pytest.mark.timeout(60)

sizes = st.lists(st.integers(1, 40), max_size=8)
buffers = st.sampled_from([1, 13, 64, 1000])
alike = st.integers(0, 20).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=90))
mixed = st.lists(st.binary(max_size=60), max_size=60)
runs = st.lists(st.tuples(st.binary(max_size=9), st.integers(1, 80)), max_size=6).map(
    lambda runs: [payload for payload, count in runs for _ in range(count)]
)
payload_lists = st.one_of(alike, mixed, runs)


def crc32c(content: bytes) -> int:
    """Bit by bit, from the polynomial: nothing in common with the library."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def written(payloads: list[bytes]) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        tfrecord.write(file, payload)
    return file.getvalue()


def read(content: bytes, sizes: list[int] = [], **settings):  # noqa: B006 - not changed
    return outcome(tfrecord.read(Dribble(content, sizes), "it", **settings))


def test_check_value_of_the_crc_is_the_published_one():
    assert crc32c(b"123456789") == 0xE3069283
    assert tfrecord.masked_crc(b"123456789") == struct.unpack("<I", masked(b"123456789"))[0]


@given(payloads=st.lists(st.binary(max_size=30), max_size=8))
def test_writer_writes_what_the_format_says(payloads):
    assert written(payloads) == b"".join(frame(payload) for payload in payloads)


@given(payloads=payload_lists, sizes=sizes, buffer_bytes=buffers, check=st.booleans())
@settings(max_examples=300, deadline=None)
def test_records_are_the_payloads_however_the_stream_dribbles(payloads, sizes, buffer_bytes, check):
    ended = read(written(payloads), sizes, buffer_bytes=buffer_bytes, check=check)
    assert ended.error is None
    assert ended.payloads == payloads


@given(payloads=payload_lists.filter(bool), sizes=sizes, buffer_bytes=buffers, data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_corrupted_byte_is_an_error_and_the_records_before_it_are_whole(payloads, sizes, buffer_bytes, data):
    content = bytearray(written(payloads))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    ended = read(bytes(content), sizes, buffer_bytes=buffer_bytes)
    assert ended.error is not None
    whole = end = 0
    while (end := end + len(payloads[whole]) + 16) <= place:
        whole += 1
    assert ended.payloads == payloads[:whole]
    assert f"record {whole}" in str(ended.error)


@pytest.mark.parametrize("count", [3, 50])
def test_every_single_byte_of_a_record_is_covered(count):
    payloads = [bytes([index]) * 7 for index in range(count)]
    content = written(payloads)
    for place in range(23, 46):  # the second of them
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            ended = read(bytes(damaged))
            assert ended.payloads == payloads[:1], place
            assert ended.error is not None


def test_damaged_payload_is_read_where_checking_is_off():
    content = bytearray(written([b"abc", b"def"]))
    content[12] ^= 1
    assert read(bytes(content), check=False).payloads == [b"`bc", b"def"]


def test_damaged_header_is_told_with_record_and_offset():
    content = bytearray(written([b"abc"] * 3))
    content[19 * 2 + 3] ^= 1
    with pytest.raises(
        RecordError, match="channel x: record 2 at byte offset 38 has a header whose CRC does not match"
    ):
        list(tfrecord.read(io.BytesIO(content), "channel x"))


def test_damaged_payload_is_told_with_record_and_offset():
    content = bytearray(written([b"abc"] * 40))
    content[19 * 36 + 13] ^= 1
    with pytest.raises(RecordError, match="payload of record 36 at byte offset 696 does not match its CRC"):
        list(tfrecord.read(io.BytesIO(content)))


@given(payloads=payload_lists.filter(bool), sizes=sizes, buffer_bytes=buffers, data=st.data())
@settings(max_examples=200, deadline=None)
def test_truncation_anywhere_is_told_with_offset_and_missing_bytes(payloads, sizes, buffer_bytes, data):
    content = written(payloads)
    cut = data.draw(st.integers(0, len(content)))
    ended = read(content[:cut], sizes, buffer_bytes=buffer_bytes)
    bounds = [0]
    for payload in payloads:
        bounds.append(bounds[-1] + len(payload) + 16)
    whole = sum(bound <= cut for bound in bounds) - 1
    assert ended.payloads == payloads[:whole]
    if cut in bounds:
        assert ended.error is None
        return
    begun = cut - bounds[whole]
    due = 12 if begun < 12 else bounds[whole + 1] - bounds[whole]
    assert isinstance(ended.error, TruncatedRecordError)
    assert f"inside record {whole}: {due - begun} bytes missing at byte offset {cut};" in str(ended.error)


@pytest.mark.parametrize("length", [1 << 20, 1 << 31, (1 << 63) - 1, (1 << 64) - 1])
def test_hostile_length_with_a_true_crc_takes_no_memory(length):
    header = struct.pack("<Q", length)
    content = written([b"first"]) + header + masked(header) + b"x" * 5000
    tracemalloc.start()
    ended = read(content, [700], buffer_bytes=1000, max_record_bytes=1 << 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ended.payloads == [b"first"]
    assert isinstance(ended.error, RecordError)
    assert peak < 60_000


def test_record_over_the_limit_is_refused_and_one_at_the_limit_is_read():
    content = written([b"x" * 100, b"y" * 101])
    ended = read(content, max_record_bytes=100)
    assert ended.payloads == [b"x" * 100]
    assert "record 1 says it is 101 bytes long, over the limit of 100" in str(ended.error)


def test_record_larger_than_the_buffer_is_read():
    payloads = [b"s", b"L" * 3_000_000, b"t", b"M" * 10_000]
    assert read(written(payloads), [65536], buffer_bytes=100).payloads == payloads


def test_stream_that_ends_at_once_gives_nothing():
    assert read(b"") == outcome(())


def test_records_of_changing_length_cost_no_more_than_their_number():
    payloads = [bytes(20 + index // 5 % 2) for index in range(100_000)]
    content, lots = written(payloads), 0
    for records in tfrecord.read(io.BytesIO(content), check=False):
        lots += 1
        assert len(records) > 1000
    assert lots < 10, "five of one length in a row are not worth a pass over the buffer"
