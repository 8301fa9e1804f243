"""Gzip inflated as it is read, and streams measured in little memory."""

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_mode.channels import inflate
from local_mode.channels.inflate import Inflated, measured
from local_mode.channels.objects import ObjectError


def whole(data):
    stream = Inflated(io.BytesIO(data), "/data/x.gz")
    return b"".join(iter(lambda: stream.read(1000), b""))


@given(members=st.lists(st.binary(max_size=5000), max_size=4), padding=st.integers(0, 9))
def test_members_one_after_another_are_one_stream(members, padding):
    assert whole(b"".join(map(gzip.compress, members)) + bytes(padding if members else 0)) == b"".join(members)


@given(content=st.binary(max_size=3000), data=st.data())
def test_what_ends_too_soon_is_an_error_that_names_the_object(content, data):
    packed = gzip.compress(content)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(ObjectError, match="^/data/x.gz cannot be inflated: .*every object must be whole gzip"):
        whole(packed[:cut])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda packed: b"plain text", "Not a gzipped file"),
        (lambda packed: packed + b"more", "Not a gzipped file"),
        (lambda packed: packed[:-5] + b"\1" + packed[-4:], "CRC check failed"),
        (lambda packed: packed[:10] + b"\xff" * 8 + packed[18:], "invalid block type"),
    ],
)
def test_damage_is_an_error_that_names_the_object(damage, reason):
    with pytest.raises(ObjectError, match=f"^/data/x.gz cannot be inflated: .*{reason}"):
        whole(damage(gzip.compress(b"what it was" * 100)))


@pytest.mark.parametrize("limit", [0, 999, 1000, 1 << 20])
def test_stream_is_measured_in_memory_or_in_a_file_that_nobody_sees(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(inflate, "SPOOLED_BYTES", limit)
    content = bytes(range(250)) * 4
    stream, size = measured(io.BytesIO(content), tmp_path)

    assert isinstance(stream, io.BytesIO) is (limit >= 1000)
    assert list(tmp_path.iterdir()) == []
    assert (stream.read(2000), size) == (content, 1000)
    stream.close()
