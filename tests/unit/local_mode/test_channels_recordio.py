"""RecordIO as the platform writes it, against trainjob's reader and writer: written apart, they check each other."""

import io

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st
from trainjob.errors import RecordError
from trainjob.framing import recordio as theirs

from local_mode.channels import recordio as ours

MAGIC = bytes.fromhex("0a23d7ce")
PIECES = st.sampled_from([MAGIC, b"\0", b"abcd", b"xyz", b""])
PAYLOADS = st.binary(max_size=70) | st.lists(PIECES, max_size=12).map(b"".join)


def framed(payload, **limits):
    stream = io.BytesIO(payload)
    frames = ours.frames(len(payload), **limits)
    return b"".join(frame.head + stream.read(frame.length) + frame.padding for frame in frames)


def read(data, **options):
    """What trainjob reads; a payload that is RecordIO itself it refuses to, on purpose, and that is no example."""
    try:
        return [
            records[index].tobytes()
            for records in theirs.read(io.BytesIO(data), **options)
            for index in range(len(records))
        ]
    except RecordError as error:
        if "RecordIO itself was wrapped again" not in str(error):
            raise
        reject()


@given(payloads=st.lists(PAYLOADS, max_size=8))
@example(payloads=[MAGIC, MAGIC * 3, b"", b"abcd" + MAGIC, MAGIC + b"abcd"])
def test_what_is_written_here_is_what_trainjob_reads(payloads):
    assert read(b"".join(map(framed, payloads))) == payloads


@given(payload=PAYLOADS)
def test_trainjob_writes_the_same_bytes_but_for_an_aligned_magic(payload):
    file = io.BytesIO()
    theirs.write(file, payload)

    aligned = any(payload[at : at + 4] == MAGIC for at in range(0, len(payload) - 3, 4))
    assert (file.getvalue() == framed(payload)) is not aligned
    assert read(file.getvalue()) == read(framed(payload)) == [payload]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "0A23D7CE 00000000"),
        (b"abcde", "0A23D7CE 05000000 6162636465 000000"),
        (b"abcd", "0A23D7CE 04000000 61626364"),
        (MAGIC, "0A23D7CE 04000000 0A23D7CE"),
    ],
)
def test_frames_are_byte_exact(payload, expected):
    assert framed(payload) == bytes.fromhex(expected)


@given(payload=st.binary(min_size=12, max_size=60))
def test_parts_of_a_long_object_are_read_as_one_record_when_joined_as_they_are(payload):
    data = framed(payload, part_bytes=8)

    assert read(data, rejoin_magic=False) == [payload]
    flags = [frame.head[7] >> 5 for frame in ours.frames(len(payload), part_bytes=8)]
    assert flags == [1, *[2] * (len(flags) - 2), 3]


@pytest.mark.parametrize(("size", "lengths"), [((1 << 29) - 1, [(1 << 29) - 1]), (1 << 29, [(1 << 29) - 4, 4])])
def test_object_is_in_parts_from_512_mib_on(size, lengths):
    frames = list(ours.frames(size))

    assert [frame.length for frame in frames] == lengths
    assert [int.from_bytes(frame.head[4:], "little") & ((1 << 29) - 1) for frame in frames] == lengths
