"""Sections 3.8 and 3.9 of the platform contract, over every runner: augmented manifests and RecordIO."""

import gzip
import json

import pytest

from tests.contract.channels import MAGIC, channel, failure, record, records, streams

# --- 3.8 augmented manifests -----------------------------------------------------------------------


@pytest.mark.contract("3.8", "D")
def test_3_8_each_attribute_is_a_record_in_the_order_of_attribute_names(lab, put, lines):
    images = put("img", {"a.jpg": b"\xff\xd8 A", "b.jpg": b"\xff\xd8 and B"})
    path = lines(
        f'{{"label": 3, "image-ref": "{images}a.jpg", "meta": {{"ignored": true}}}}',
        "",
        f'{{"image-ref": "file://{images}b.jpg", "label": 0}}',
        "   ",
    )
    wrapped = {"kind": "AugmentedManifestFile", "RecordWrapperType": "RecordIO"}
    found = streams(
        lab,
        channel("train", path, attributes=["image-ref", "label"], **wrapped),
        channel("turned", path, attributes=["label", "image-ref"], **wrapped),
        channel("bare", path, kind="AugmentedManifestFile", attributes=["label", "image-ref"]),
        epochs=2,
    )

    payloads = records(found["train"][0])
    assert payloads == [b"\xff\xd8 A", b"3", b"\xff\xd8 and B", b"0"]
    groups = list(zip(payloads[::2], payloads[1::2], strict=True))
    assert records(found["turned"][0]) == [item for image, label in groups for item in (label, image)]
    assert found["bare"][0] == b"3\xff\xd8 A0\xff\xd8 and B"
    assert all(first == second for first, second in found.values())


@pytest.mark.contract("3.8", "U", "numbers are streamed in their literal form, objects and lists as compact JSON")
def test_3_8_values_are_streamed_as_their_text(lab, lines):
    names = ["int", "float", "big", "text", "none", "yes", "list", "object", "Int"]
    path = lines(
        '{"int": 1, "float": 1.50, "big": 123456789012345678901234567890, "text": "straight \\u00e9 \\"q\\"", '
        '"none": null, "yes": true, "list": [ 1, "a b" ], "object": { "k" : 1e2, "\\u00e9": [] }, "Int": -0.0}'
    )
    wrapped = {"kind": "AugmentedManifestFile", "RecordWrapperType": "RecordIO"}
    (stream,) = streams(lab, channel("train", path, attributes=names, **wrapped))["train"]

    assert [payload.decode() for payload in records(stream)] == [
        "1",
        "1.50",
        "123456789012345678901234567890",
        'straight é "q"',
        "null",
        "true",
        '[1,"a b"]',
        '{"k":1e2,"é":[]}',
        "-0.0",
    ]


@pytest.mark.contract("3.8", "U", "a line with no such attribute, or that is no object, fails the job and is named")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"Label": 1}', "line 3 has no attribute 'label', which AttributeNames asks for; it has 'Label'."),
        ("label", "line 3 is not JSON: "),
        ("[1]", "line 3 is not a JSON object"),
    ],
)
def test_3_8_line_without_the_attribute_fails_the_job_and_is_named(lab, lines, line, message):
    path = lines('{"label": 1}', "", line)
    reason = failure(lab, channel("train", path, kind="AugmentedManifestFile", attributes=["label"]))

    assert reason.startswith(f"ClientError: Channel 'train': {path}, {message}")


@pytest.mark.contract("3.8", "U")
def test_3_8_reference_to_nothing_fails_the_job_with_object_line_and_attribute(lab, lines, tmp_path):
    path = lines(json.dumps({"image-ref": f"{tmp_path}/none.jpg"}))
    reason = failure(lab, channel("train", path, kind="AugmentedManifestFile", attributes=["image-ref"]))

    place = f"cannot read {tmp_path}/none.jpg ({path}, line 1, attribute 'image-ref')"
    assert reason == f"ClientError: Channel 'train': {place}: No such file or directory"


@pytest.mark.contract("3.8", "D")
def test_3_8_gzip_is_of_the_objects_referred_to(lab, put, lines):
    images = put("img", {"a.gz": gzip.compress(b"inflated")})
    path = lines(json.dumps({"image-ref": f"{images}a.gz", "label": "a"}))
    entry = channel(
        "train", path, kind="AugmentedManifestFile", attributes=["image-ref", "label"], CompressionType="Gzip"
    )

    assert streams(lab, entry) == {"train": [b"inflateda"]}


# --- 3.9 RecordIO ----------------------------------------------------------------------------------


@pytest.mark.contract("3.9", "C")
def test_3_9_worked_example_is_byte_exact(lab, put):
    found = streams(lab, channel("train", put("data", {"a": b"abcde"}), RecordWrapperType="RecordIO"))

    assert found == {"train": [bytes.fromhex("0A23D7CE 05000000 6162636465 000000")]}


@pytest.mark.contract("3.9", "U")
def test_3_9_every_object_is_one_frame_whatever_its_length_and_content(lab, put):
    payloads = [b"", b"1", b"123", b"1234", b"12345", MAGIC, b"1234" + MAGIC + b"5", MAGIC * 5_000]
    folder = put("data", {f"{number:02}": payload for number, payload in enumerate(payloads)})
    (stream,) = streams(lab, channel("train", folder, RecordWrapperType="RecordIO"))["train"]

    assert stream == b"".join(record(payload) for payload in payloads)
    assert records(stream) == payloads


LENGTHS = {
    "no byte": b"",
    "one byte": b"1",
    "three bytes": b"123",
    "four bytes": b"1234",
    "five bytes": b"12345",
    "the magic alone": MAGIC,
    "the magic at a multiple of four": b"1234" + MAGIC + b"5",
    "the magic across one": b"12" + MAGIC + b"56",
    "zeros that look like padding": bytes(6),
}


@pytest.fixture(scope="module")
def framed(shared_lab, tmp_path_factory):
    """The frame of each object of LENGTHS, by its name."""
    folder = tmp_path_factory.mktemp("framed")
    for name, payload in LENGTHS.items():
        (folder / name).write_bytes(payload)
    (stream,) = streams(shared_lab, channel("train", f"{folder}/", RecordWrapperType="RecordIO"))["train"]
    frames = {}
    for name in sorted(LENGTHS):
        length = 8 + len(LENGTHS[name]) + -len(LENGTHS[name]) % 4
        frames[name], stream = stream[:length], stream[length:]
    assert stream == b""
    return frames


@pytest.mark.contract("3.9", "C", "RecordIO: an object of {name} is framed byte for byte as the format says")
@pytest.mark.parametrize("name", [name for name in LENGTHS if "magic" not in name])
def test_object_is_framed_byte_for_byte(framed, name):
    assert framed[name] == record(LENGTHS[name])


@pytest.mark.contract("3.9", "U", "RecordIO: {name} in an object is one frame, found by its length")
@pytest.mark.parametrize("name", [name for name in LENGTHS if "magic" in name])
def test_magic_in_an_object_is_part_of_one_frame(framed, name):
    assert records(framed[name]) == [LENGTHS[name]]
