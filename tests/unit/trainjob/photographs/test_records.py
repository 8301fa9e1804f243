"""Photographs out of the records of an augmented manifest and out of Examples, and what is refused as none."""

import io

import pytest
from trainjob.errors import RecordError
from trainjob.framing import example, recordio, tfrecord
from trainjob.photographs.records import Photograph, from_examples, from_records

from tests.unit.trainjob.jpegs import jpeg

JPEGS = [jpeg(9 + index, 11, index).tobytes() for index in range(3)]
BOXES = [b"[1, 2, 3, 4]", b"[0.5, 0, 10, 20]", b"[5, 6, 7, 8]"]
KEYS = [b"001.A/one.jpg", b"001.A/zw\xc3\xb6lf.jpg", b"002.B/3.jpg"]
ATTRIBUTES = {
    "label": [b"7", b"0", b"12"],
    "box": BOXES,
    "key": KEYS,
}


def read(payloads: list[bytes], buffer_bytes: int = 1 << 20) -> list[Photograph]:
    """What a RecordIO stream of these payloads holds; a small buffer brings them in many parts."""
    file = io.BytesIO()
    for payload in payloads:
        recordio.write(file, payload)
    file.seek(0)
    return list(from_records(recordio.read(file, "train", buffer_bytes=buffer_bytes), "train"))


def payloads(names: tuple[str, ...], jpegs: list[bytes] = JPEGS) -> list[bytes]:
    return [each for index, content in enumerate(jpegs) for each in (content, *(ATTRIBUTES[n][index] for n in names))]


def read_examples(*features: dict) -> list[Photograph]:
    return read_payloads(*map(example.write, features))


def read_payloads(*contents: bytes) -> list[Photograph]:
    file = io.BytesIO()
    for content in contents:
        tfrecord.write(file, content)
    file.seek(0)
    return list(from_examples(tfrecord.read(file, "train"), "train"))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("buffer_bytes", [8, 1 << 20])
@pytest.mark.parametrize("names", [("label",), ("label", "key"), ("label", "box"), ("label", "box", "key")])
def test_photographs_have_the_attributes_that_follow_them(names, buffer_bytes, count):
    found = read(payloads(names, JPEGS[:count]), buffer_bytes)
    assert [each.content.tobytes() for each in found] == JPEGS[:count]
    assert [each.label for each in found] == [7, 0, 12][:count]
    assert [each.index for each in found] == [0, 1, 2][:count]
    boxes = [(1, 2, 3, 4), (0.5, 0, 10, 20), (5, 6, 7, 8)] if "box" in names else [None] * 3
    assert [each.box for each in found] == boxes[:count]
    keys = [key.decode() for key in KEYS] if "key" in names else [f"photograph {index} of train" for index in range(3)]
    assert [each.key for each in found] == keys[:count]


def test_content_is_memory_of_its_own_and_stays_when_the_stream_goes_on():
    found = read(payloads(("label",)), 8)
    assert all(each.content.base is None or each.content.base.nbytes == each.content.nbytes for each in found)
    assert [each.content.tobytes() for each in found] == JPEGS


@pytest.mark.parametrize("names", [("label",), ("label", "box", "key")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_jpeg_of_zero_bytes_is_a_photograph_and_shifts_nothing(names, place):
    jpegs = [b"" if index == place else content for index, content in enumerate(JPEGS)]
    found = read(payloads(names, jpegs))
    assert [each.content.tobytes() for each in found] == jpegs
    assert [each.label for each in found] == [7, 0, 12]


def test_no_records_are_no_photographs():
    assert read([]) == []


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([JPEGS[0]], "train ended after 1 records, 1 of them of a photograph that is not whole; .* has at least 2"),
        ([JPEGS[0], JPEGS[1]], r"photograph 0 is followed by b'\\xff\\xd8.* and no label"),
        ([JPEGS[0], JPEGS[1], JPEGS[2]], r"photograph 0 is followed by b'\\xff\\xd8.* and no label"),
        ([JPEGS[0], KEYS[0], JPEGS[1], KEYS[1]], "photograph 0 is followed by b'001.A/one.jpg' and no label"),
        ([b"1", JPEGS[0], b"2", JPEGS[1]], r"photograph 0 is followed by b'\\xff\\xd8.* and no label"),
        ([JPEGS[0], b"", JPEGS[1], b"1"], "photograph 0 is followed by b'' and no label"),
        ([JPEGS[0], b"1", JPEGS[1]], "ended after 3 records, 1 of them of a photograph that is not whole; .* has 2:"),
        ([JPEGS[0], b"1", BOXES[0], JPEGS[1], b"2"], "ended after 5 records, 2 of them .* has 3: check AttributeNames"),
        ([JPEGS[0], b"1", JPEGS[1], JPEGS[2], b"2"], r"photograph 1 is followed by {'label': b'\\xff\\xd8.*4 numbers"),
        ([JPEGS[0], b"1", JPEGS[1], b"x", JPEGS[2]], "photograph 1 is followed by {'label': b'x'}.*every line"),
        ([JPEGS[0], b"1", BOXES[0], JPEGS[1], b"2", KEYS[0]], "photograph 1 is followed by {.*'box': b'001.A/one.jpg'"),
    ],
)  # fmt: skip
def test_records_that_are_no_photographs_are_told_with_what_was_seen(records, text):
    with pytest.raises(RecordError, match=text):
        read(records)


@pytest.mark.parametrize(
    "box",
    [
        b"[1, 2, 3]", b"[1, 2, 3, 4, 5]", b"[1, 2, 3, null]", b"[NaN, 0, 1, 1]", b"[1e999, 0, 1, 1]", b"[1, 2",
        b"[\xff", b"[1" + b"0" * 400 + b", 0, 1, 1]", b"[" * 1024,
    ],
)  # fmt: skip
def test_box_that_is_not_four_numbers_is_told(box):
    with pytest.raises(RecordError, match="photograph 1 is followed by .* where a label and a box of 4 numbers belong"):
        read([JPEGS[0], b"1", BOXES[0], JPEGS[1], b"2", box, JPEGS[2], b"3", BOXES[2]])


def test_examples_give_photographs_with_what_they_have():
    found = read_examples(
        {"image": JPEGS[0], "label": 3, "box": [1, 2, 3, 4], "key": "001.A/zwölf.jpg".encode()},
        {"image": JPEGS[1], "label": 0},
        {"image": b"", "label": 5, "box": [0.5, 0.0, 10.0, 20.0]},
    )
    assert [each.content.tobytes() for each in found] == [JPEGS[0], JPEGS[1], b""]
    assert [each.label for each in found] == [3, 0, 5]
    assert [each.box for each in found] == [(1, 2, 3, 4), None, (0.5, 0, 10, 20)]
    assert [each.key for each in found] == ["001.A/zwölf.jpg", "photograph 1 of train", "photograph 2 of train"]
    assert [each.index for each in found] == [0, 1, 2]


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ({"label": 3}, "train: record 1 is an Example without a feature 'image'; its features are: 'label'"),
        ({"image": JPEGS[0], "key": b"a"}, "without a feature 'label'; its features are: 'image', 'key'"),
        ({}, "without a feature 'image'; its features are: none"),
        ({"image": [1, 2], "label": 3}, "record 1 is an Example of {'image': 'int64'.*image and key must be bytes"),
        ({"image": JPEGS[0], "label": b"3"}, "'label': 'bytes'}; image and key must be bytes, label an int64"),
        ({"image": JPEGS[0], "label": 3.0}, "'label': 'float32'}; image and key must be bytes, label an int64"),
        ({"image": JPEGS[0], "label": 3, "key": 5}, "'key': 'int64'}; image and key must be bytes"),
        ({"image": JPEGS[0], "label": 3, "box": [1, 2, 3]}, "record 1 has a feature 'box' that is none"),
        ({"image": JPEGS[0], "label": 3, "box": b"1234"}, "record 1 has a feature 'box' that is none"),
        ({"image": JPEGS[0], "label": 3, "box": [1.0, 2.0, float("nan"), 4.0]}, "'box' that is none .*not finite"),
    ],
)
def test_example_that_is_no_photograph_is_told_with_its_place(features, text):
    with pytest.raises(RecordError, match=text):
        read_examples({"image": JPEGS[0], "label": 1}, features)


def test_record_that_is_no_example_is_told_with_its_place():
    with pytest.raises(RecordError, match="train: record 1: A payload of .* bytes is no Example"):
        read_payloads(example.write({"image": JPEGS[0], "label": 1}), JPEGS[0])
