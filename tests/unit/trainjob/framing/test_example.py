"""tf.train.Example against bytes encoded by hand from the wire format."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainjob.errors import RecordError
from trainjob.framing import example

# Example { features { feature { key: "image" value { bytes_list { value: "\x01\x02\x03" } } }
#                      feature { key: "label" value { int64_list { value: 7 } } } } }, tag by tag.
IMAGE = b"\x0a\x05image" + b"\x12\x07" + b"\x0a\x05" + b"\x0a\x03\x01\x02\x03"
LABEL = b"\x0a\x05label" + b"\x12\x05" + b"\x1a\x03" + b"\x0a\x01\x07"
UNPACKED_LABEL = b"\x0a\x05label" + b"\x12\x04" + b"\x1a\x02" + b"\x08\x07"

int64 = st.integers(-(1 << 63), (1 << 63) - 1)
float32 = st.floats(width=32, allow_nan=False)
keys = st.text(max_size=6)


def message(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def whole(*entries: bytes) -> bytes:
    return message(1, b"".join(message(1, entry) for entry in entries))


def rows(*payloads: bytes) -> np.ndarray:
    return np.stack([np.frombuffer(payload, np.uint8) for payload in payloads])


def test_golden_bytes_are_read_and_written():
    assert example.write({"image": b"\x01\x02\x03", "label": 7}) == whole(IMAGE, LABEL)
    features = example.read(whole(IMAGE, LABEL))
    assert features["image"] == [b"\x01\x02\x03"]
    assert features["label"].tolist() == [7]


def test_numbers_that_are_not_packed_are_read():
    assert example.read(whole(UNPACKED_LABEL))["label"].tolist() == [7]
    floats = b"\x0a\x01f" + message(2, message(2, b"\x0d\x00\x00\x80\x3f" + b"\x0d\x00\x00\x00\x40"))
    assert example.read(whole(floats))["f"].tolist() == [1, 2]


def test_numbers_are_encoded_as_the_specification_shows():
    assert message(1, b"\x96\x01") in example.write({"n": 150})  # its own example
    assert b"\xfe" + b"\xff" * 8 + b"\x01" in example.write({"n": -2})
    assert message(1, b"\x00\x00\x80\x3f") in example.write({"n": 1.0})
    assert example.write({"n": np.int64(150)}) == example.write({"n": 150})


@given(
    st.dictionaries(
        keys,
        st.one_of(
            st.binary(max_size=300),
            st.lists(int64, min_size=1, max_size=20),
            st.lists(float32, min_size=1, max_size=20),
        ),
        max_size=6,
    )
)
def test_what_is_written_is_read_again(features):
    found = example.read(example.write(features))
    assert list(found) == list(features)
    for key, value in features.items():
        assert list(found[key]) == ([value] if isinstance(value, bytes) else value)


@given(image=st.integers(0, 300).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1)),
       data=st.data())  # fmt: skip
def test_columns_are_what_reading_each_gives(image, data):
    labels = data.draw(st.lists(st.integers(0, 127), min_size=len(image), max_size=len(image)))
    table = rows(
        *(example.write({"id": 5, "image": pixels, "label": n}) for pixels, n in zip(image, labels, strict=True))
    )
    found = example.columns(table, "image", "label")
    assert found is not None
    assert np.shares_memory(found[0], table) or not found[0].size
    assert found[1].dtype == np.int64
    for row, pixels, label in zip(table, *found, strict=True):
        features = example.read(row)
        assert features["image"] == [pixels.tobytes()]
        assert features["label"].tolist() == [label]


@pytest.mark.parametrize(
    "others",
    [
        {"label": 7, "image": b"abc"},  # another order
        {"image": b"abc", "Label": 7},  # another key
        {"image": b"abc", "label": 200},  # another length, so a row of its own
        {"image": b"abcd", "label": 7},
    ],
)
def test_rows_that_are_not_alike_are_told_apart(others):
    first, other = example.write({"image": b"abc", "label": 7}), example.write(others)
    if len(first) == len(other):
        assert example.columns(rows(first, other), "image", "label") is None
    else:
        assert example.columns(rows(other), "image", "label") is None or b"abcd" in other


def test_number_that_goes_on_in_the_next_byte_is_no_column():
    assert example.columns(rows(example.write({"image": b"abc", "label": 128})), "image", "label") is None
    longer = bytearray(whole(IMAGE, LABEL))
    longer[-1] = 0x80
    assert example.columns(rows(whole(IMAGE, LABEL), bytes(longer)), "image", "label") is None


def test_number_in_any_encoding_of_one_byte_is_a_column():
    found = example.columns(rows(whole(IMAGE, UNPACKED_LABEL)), "image", "label")
    assert found is not None
    assert found[1].tolist() == [7]


def test_missing_key_is_told_with_those_there_are():
    with pytest.raises(RecordError, match="no feature 'picture'; its features are: 'image', 'label'"):
        example.columns(rows(whole(IMAGE, LABEL)), "picture", "label")
    with pytest.raises(RecordError, match="no feature 'label'; its features are: none"):
        example.columns(rows(example.write({})).reshape(1, -1), "label", "label")


@pytest.mark.parametrize(("value", "told"), [([1.5], "0 int64 values"), (b"text", "0 int64 values")])
def test_feature_of_another_kind_is_told(value, told):
    with pytest.raises(RecordError, match=f"feature 'label' has {told}; it must have one"):
        example.columns(rows(example.write({"image": b"abc", "label": value})), "image", "label")


def test_second_value_is_told():
    twice = b"\x0a\x05label" + message(2, message(3, b"\x08\x07\x08\x08"))
    with pytest.raises(RecordError, match="feature 'label' has 2 int64 values"):
        example.columns(rows(whole(IMAGE, twice)), "image", "label")


def test_unknown_fields_are_passed_over():
    unknown = b"\x78\x05" + b"\x7d\x00\x00\x00\x00" + b"\x79" + bytes(8) + b"\x7a\x02hi"
    content = unknown + whole(IMAGE, LABEL) + unknown
    assert example.read(content)["image"] == [b"\x01\x02\x03"]
    kind = b"\x0a\x05label" + message(2, message(9, b"ab") + message(3, b"\x0a\x01\x07"))
    assert example.read(whole(kind))["label"].tolist() == [7]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x0a\xff\x01abc", "6 bytes is no Example: a field runs over the end at byte 6"),
        (b"\xff" * 12, "12 bytes is no Example: a number at byte 0 has no end"),
        (b"\x0b", "1 bytes is no Example: wire type 3 at byte 1"),
        (b"\x0a", "1 bytes is no Example: a number at byte 1 has no end"),
        (whole(b"\x0a\x01f" + message(2, message(2, b"\x0a\x03abc"))), "a float_list of 3 bytes"),
    ],
)
def test_bytes_that_are_no_example_are_told(content, told):
    with pytest.raises(RecordError, match=told):
        example.read(content)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content):
    for attempt in (example.read, lambda payload: example.columns(rows(payload), "image", "label")):
        try:
            attempt(content)
        except RecordError:
            continue


@given(place=st.integers(0, 100), value=st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(place, value):
    content = bytearray(whole(IMAGE, LABEL))
    content[place % len(content)] = value
    try:
        example.read(bytes(content))
        example.columns(rows(bytes(content)), "image", "label")
    except RecordError:
        return
