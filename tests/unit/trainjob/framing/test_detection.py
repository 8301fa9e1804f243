"""Which framing a stream is in, however its first bytes arrive."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainjob.errors import RecordError
from trainjob.framing import detection, recordio, tfrecord

from tests.unit.trainjob.framing.streams import Dribble


def written(framing, payloads: list[bytes]) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        framing.write(file, payload)
    return file.getvalue()


STREAMS = {
    detection.TFRECORD: written(tfrecord, [b"one", b"two"]),
    detection.RECORDIO: written(recordio, [b"one", b"two"]),
    detection.FIXED: b"\x03" + bytes(range(40)),
}


def drain(stream, size: int) -> bytes:
    buffer, content = bytearray(size), b""
    while count := stream.readinto(memoryview(buffer)):
        content += buffer[:count]
    return content


@pytest.mark.parametrize("framing", STREAMS)
@given(sizes=st.lists(st.integers(1, 20), min_size=1), size=st.integers(1, 50), insist=st.booleans())
def test_framing_is_told_and_no_byte_is_lost_however_the_stream_dribbles(framing, sizes, size, insist):
    asked = framing if insist else detection.AUTO
    found, stream = detection.detect(Dribble(STREAMS[framing], sizes), asked)
    assert found == framing
    assert drain(stream, size) == STREAMS[framing]


@given(content=st.binary(max_size=30), sizes=st.lists(st.integers(1, 5), min_size=1))
def test_what_is_no_other_framing_is_fixed(content, sizes):
    found, stream = detection.detect(Dribble(content, sizes))
    assert found == detection.FIXED
    assert drain(stream, 7) == content


def test_shortest_recordio_stream_is_told():
    assert detection.detect(io.BytesIO(written(recordio, [b""])))[0] == detection.RECORDIO


@pytest.mark.parametrize("framing", STREAMS)
def test_empty_stream_is_whatever_is_asked_for(framing):
    found, stream = detection.detect(io.BytesIO(b""), framing)
    assert found == framing
    assert drain(stream, 5) == b""


@pytest.mark.parametrize("asked", STREAMS)
@pytest.mark.parametrize("framing", STREAMS)
def test_stream_in_another_framing_than_asked_for_is_named(framing, asked):
    if framing == asked:
        return
    head = STREAMS[framing][:12].hex()
    found = "no header of that framing" if framing == detection.FIXED else f"a {framing} header"
    told = rf"channel x is to be read as {asked}, but its first bytes \({head}\) are {found}; .* {framing} or auto"
    with pytest.raises(RecordError, match=told):
        detection.detect(io.BytesIO(STREAMS[framing]), asked, "channel x")
