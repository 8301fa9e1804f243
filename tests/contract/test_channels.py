"""Section 3 of the platform contract, input data, over every runner: what of a channel reaches a program.

Each row names the paragraph of the contract that it checks.
"""

import gzip
import json

import pytest

from local_mode.errors import SourceError, ValidationError
from local_mode.instance.manifest import list_manifest
from local_mode.jobs.rules import parse
from tests.contract.lab import document

MAGIC = bytes.fromhex("0a23d7ce")
FILES = {f"{letter}.bin": letter.encode() * 3 for letter in "abcdefgh"}


def channel(name, uri, *, kind="S3Prefix", attributes=None, distribution=None, **fields):
    """An entry of InputDataConfig."""
    source = {"S3DataType": kind, "S3Uri": str(uri)}
    if attributes:
        source["AttributeNames"] = attributes
    if distribution:
        source["S3DataDistributionType"] = distribution
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **fields}


def streams(lab, *channels, epochs=1, **fields):
    """What a program read from each Pipe channel: the bytes of its first epochs."""
    found = lab.run(["streams", epochs], InputDataConfig=list(channels), **fields).report["streams"]
    return {name: [bytes.fromhex(text) for text in texts] for name, texts in found.items()}


def failure(lab, *channels):
    """Why the job fails when its program reads its channels."""
    described = lab.run(["streams"], InputDataConfig=list(channels)).description
    assert described["TrainingJobStatus"] == "Failed"
    return described["FailureReason"]


def record(payload):
    """A RecordIO frame, written from the contract's table."""
    return MAGIC + len(payload).to_bytes(4, "little") + payload + bytes(-len(payload) % 4)


def records(stream):
    """Payloads of a RecordIO stream of whole records."""
    payloads = []
    while stream:
        assert stream[:4] == MAGIC
        length = int.from_bytes(stream[4:8], "little")
        payloads.append(stream[8 : 8 + length])
        stream = stream[8 + length + -length % 4 :]
    return payloads


@pytest.fixture
def put(tmp_path):
    """Writes files into a folder of the test's; the folder, as a prefix."""

    def write(folder, files):
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return f"{tmp_path / folder}/"

    return write


@pytest.fixture
def manifest(tmp_path):
    """Writes a ManifestFile; its path."""

    def write(prefix, *suffixes):
        path = tmp_path / "list.manifest"
        path.write_text(json.dumps([{"prefix": prefix}, *suffixes]))
        return path

    return write


@pytest.fixture
def lines(tmp_path):
    """Writes an augmented manifest; its path."""

    def write(*texts):
        path = tmp_path / "lines.manifest"
        path.write_text("\n".join(texts) + "\n")
        return path

    return write


# --- 3.1 the request ------------------------------------------------------------------------------


def test_3_1_each_channel_has_the_mode_of_its_own_else_the_jobs(lab, put):
    folder = put("data", FILES)
    report = lab.run(
        ["streams"],
        InputDataConfig=[channel("own", folder, InputMode="File"), channel("jobs", folder)],
        mode="Pipe",
    ).report

    assert {name: config["TrainingInputMode"] for name, config in report["channels"].items()} == {
        "own": "File",
        "jobs": "Pipe",
    }
    assert report["listing"] == ["jobs_0", "own"]
    assert bytes.fromhex(report["streams"]["jobs"][0]) == b"".join(FILES.values())


AUGMENTED = {"kind": "AugmentedManifestFile", "attributes": ["label"]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"InputMode": "File", "CompressionType": "Gzip"}, "CompressionType is Gzip in File mode"),
        ({"InputMode": "FastFile", "CompressionType": "Gzip"}, "CompressionType is Gzip in FastFile mode"),
        ({"InputMode": "File", "RecordWrapperType": "RecordIO"}, "RecordWrapperType is RecordIO in File mode"),
        ({"InputMode": "FastFile", "kind": "ManifestFile"}, "S3DataType is ManifestFile in FastFile mode"),
        ({"InputMode": "File", **AUGMENTED}, "S3DataType is AugmentedManifestFile in File mode"),
        ({"InputMode": "FastFile", **AUGMENTED}, "S3DataType is AugmentedManifestFile in FastFile mode"),
        ({"kind": "AugmentedManifestFile"}, "AttributeNames is missing"),
        ({"kind": "ManifestFile", "attributes": ["label"]}, "AttributeNames is label, but S3DataType is ManifestFile"),
        ({"attributes": ["label"]}, "AttributeNames is label, but S3DataType is S3Prefix"),
        ({**AUGMENTED, "attributes": ["a"] * 17}, "AttributeNames has 17 entries"),
        ({"ShuffleConfig": {"Seed": "7"}}, "ShuffleConfig.Seed is '7'; it must be a whole number"),
    ],
)
def test_3_1_what_may_not_be_combined_is_refused_at_once(fields, message, tmp_path):
    request = document("job", ["look"], tmp_path, InputDataConfig=[channel("train", "/data/", **fields)])

    with pytest.raises(ValidationError, match=r"^InputDataConfig\[0\]\.") as caught:
        parse(request)
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


# --- 3.2 which objects, in which order ------------------------------------------------------------


def test_3_2_manifest_gives_what_it_names_in_its_own_order(lab, put, manifest):
    prefix = put("bucket/set", {"a/1.bin": b"one", "b/2.bin": b"two", "c.bin": b"not named"})
    path = manifest(prefix, "b/2.bin", "a/1.bin", "b/2.bin")

    assert streams(lab, channel("train", path, kind="ManifestFile")) == {"train": [b"twoonetwo"]}


def test_3_2_manifest_prefix_is_text_and_may_be_a_file_uri(lab, put, manifest, tmp_path):
    put("my set", {"image 1": b"one", "image 2": b"two"})
    path = manifest((tmp_path / "my set").as_uri() + "/image", " 2", " 1")

    assert streams(lab, channel("train", path.as_uri(), kind="ManifestFile")) == {"train": [b"twoone"]}


@pytest.mark.parametrize("kind", ["S3Prefix", "ManifestFile", "AugmentedManifestFile"])
def test_3_2_empty_match_is_refused_before_the_job_is_made(lab, tmp_path, kind):
    attributes = ["label"] if kind.startswith("Augmented") else None
    entry = channel("train", tmp_path / "nowhere", kind=kind, attributes=attributes)
    with pytest.raises(SourceError, match="Channel 'train': No S3 objects found under S3 URL \".*/nowhere\""):
        lab.run(["look"], InputDataConfig=[entry])
    assert not (lab.root / "jobs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"prefix": "PLACE"}]', "No S3 objects found under S3 URL"),
        ('[{"prefix": "PLACE"}, "none.bin"]', "names 'none.bin', but .* cannot be read: No such file"),
        ('[{"prefix": "PLACE"}, "../secret"]', r"names '\.\./secret', which is no path below its prefix"),
        ('[{"prefix": "PLACE"}, "a/../../secret"]', "which is no path below its prefix"),
        ('[{"prefix": "PLACE"}, "/a.bin"]', "which is no path below its prefix"),
        ('[{"prefix": "PLACE"}, 7]', "entry 1 is 7; write it like"),
        ('[{"prefix": ""}, "a.bin"]', 'begins with {"prefix": ""}; write it like'),
        ('["a.bin"]', "does not begin with a prefix"),
        ('{"prefix": "PLACE"}', "does not begin with a prefix"),
        ('[{"prefix": "PLACE"}, ', "is not JSON"),
    ],
)
def test_3_2_manifest_that_names_nothing_good_is_refused(content, message, put, tmp_path):
    (tmp_path / "secret").write_text("not of this channel")
    (tmp_path / "list").write_text(content.replace("PLACE", put("data", FILES)))
    with pytest.raises(SourceError, match=message):
        list_manifest(str(tmp_path / "list"))


# --- 3.3 and 3.4 shards and shuffles --------------------------------------------------------------


def test_3_3_one_host_has_the_only_shard_and_is_told_it_is_one(lab, put):
    entry = channel("train", put("data", FILES), distribution="ShardedByS3Key")
    report = lab.run(["streams"], InputDataConfig=[entry]).report

    assert bytes.fromhex(report["streams"]["train"][0]) == b"".join(FILES.values())
    assert report["channels"]["train"]["S3DistributionType"] == "ShardedByS3Key"


def test_3_4_objects_come_in_another_order_each_epoch_and_in_the_same_in_each_job(lab, put):
    folder = put("data", FILES)
    entries = [channel(str(seed), folder, ShuffleConfig={"Seed": seed}) for seed in (7, -8)]
    entries.append(channel("plain", folder))
    first, second = streams(lab, *entries, epochs=3), streams(lab, *entries, epochs=3)

    assert first == second
    assert first["plain"] == [b"".join(FILES.values())] * 3
    assert len({*first["7"], *first["-8"], first["plain"][0]}) == 7
    for stream in first["7"] + first["-8"]:
        assert sorted(stream[start : start + 3] for start in range(0, 24, 3)) == sorted(FILES.values())


def test_3_4_entries_of_a_manifest_and_lines_of_an_augmented_one_are_shuffled(lab, put, manifest, lines):
    entries = manifest(put("data", FILES), *FILES)
    texts = lines(*(json.dumps({"label": name, "more": name * 2}) for name in "abcdefgh"))
    seed = {"Seed": 3}
    found = streams(
        lab,
        channel("manifest", entries, kind="ManifestFile", ShuffleConfig=seed),
        channel("lines", texts, kind="AugmentedManifestFile", attributes=["label", "more"], ShuffleConfig=seed),
        epochs=2,
    )

    for epochs in found.values():
        whole = {epoch[start : start + 3] for epoch in epochs for start in range(0, 24, 3)}
        assert whole == {letter * 3 for letter in (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h")}
        assert len({*epochs, b"".join(FILES.values())}) == 3


# --- 3.5 File mode --------------------------------------------------------------------------------


def test_3_5_files_of_a_manifest_keep_their_whole_key(lab, put, manifest):
    prefix = put("bucket/k", {"a/1.bin": b"one", "2.bin": b"two", "3.bin": b"not named"})
    entry = channel("train", manifest(prefix, "a/1.bin", "2.bin"), kind="ManifestFile")
    run = lab.run(["tree"], InputDataConfig=[entry], mode="File")

    assert run.report["files"] == {"k/a/1.bin": "one", "k/2.bin": "two"}


def test_3_5_shuffle_of_files_changes_nothing_and_is_said_to(lab, put):
    entry = channel("train", put("data", FILES), ShuffleConfig={"Seed": 1})
    run = lab.run(["tree"], InputDataConfig=[entry], mode="File")

    assert run.report["files"] == {name: content.decode() for name, content in FILES.items()}
    assert any("ShuffleConfig shows in Pipe mode only" in note for note in run.recorder.notes)


# --- 3.7 Pipe mode --------------------------------------------------------------------------------


def test_3_7_nothing_is_put_between_objects(lab, put):
    found = streams(lab, channel("train", put("data", {"1": b"no newline", "2": b"", "3": b"glued\n"})))

    assert found == {"train": [b"no newlineglued\n"]}


def test_3_7_gzip_is_inflated_members_and_empty_objects_too(lab, put):
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two ")
    folder = put("data", {"1.gz": packed, "2.gz": gzip.compress(b""), "3": b"", "4.gz": gzip.compress(b"three")})
    found = streams(
        lab,
        channel("inflated", folder, CompressionType="Gzip"),
        channel("wrapped", folder, CompressionType="Gzip", RecordWrapperType="RecordIO"),
        channel("raw", folder),
        epochs=2,
    )

    assert found["inflated"] == [b"one two three"] * 2
    assert found["wrapped"] == [record(b"one two ") + record(b"") + record(b"") + record(b"three")] * 2
    assert records(found["wrapped"][1])[3] == b"three"
    assert found["raw"][0].startswith(packed)


@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_3_7_damaged_gzip_fails_the_job_and_is_named(lab, put, wrapper):
    whole = gzip.compress(bytes(range(256)) * 10)
    folder = put("data", {"1.gz": whole, "2.gz": whole[:-9]})
    reason = failure(lab, channel("train", folder, CompressionType="Gzip", RecordWrapperType=wrapper))

    assert reason.startswith(f"ClientError: Channel 'train': {folder}2.gz cannot be inflated: ")


def test_3_7_objects_without_gzip_fail_a_gzip_channel_and_are_named(lab, put):
    reason = failure(lab, channel("train", put("data", FILES), CompressionType="Gzip"))

    assert "/data/a.bin cannot be inflated: Not a gzipped file" in reason


def test_3_7_each_object_is_a_record_and_the_program_is_told(lab, put):
    folder = put("data", {"a": b"first", "b/c": b"", "d": bytes(100_000)})
    entry = channel("train", folder, RecordWrapperType="RecordIO")
    report = lab.run(["streams", 2], InputDataConfig=[entry]).report

    expected = record(b"first") + record(b"") + record(bytes(100_000))
    assert [bytes.fromhex(text) for text in report["streams"]["train"]] == [expected] * 2
    assert report["channels"]["train"]["RecordWrapperType"] == "RecordIO"


@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_3_7_object_that_vanishes_while_the_channel_is_streamed_fails_the_job_by_name(lab, put, wrapper):
    folder = put("data", {"1.bin": bytes(3_000_000), "2.bin": b"gone"})
    run = lab.start(["wait_for_stop"], InputDataConfig=[channel("train", folder, RecordWrapperType=wrapper)])
    assert run.recorder.ready.wait(30)
    fifo = run.folder / "scratch" / "opt_ml" / "input" / "data" / "train_0"
    with fifo.open("rb") as stream:  # in the program's place: it plays asleep
        stream.read(1)
        (lab.folder / "data" / "2.bin").unlink()
        stream.read()
    run.end()

    reason = f"ClientError: Channel 'train': cannot read {folder}2.bin: No such file or directory"
    assert run.description["FailureReason"] == reason


# --- 3.8 augmented manifests ----------------------------------------------------------------------


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


def test_3_8_reference_to_nothing_fails_the_job_with_object_line_and_attribute(lab, lines, tmp_path):
    path = lines(json.dumps({"image-ref": f"{tmp_path}/none.jpg"}))
    reason = failure(lab, channel("train", path, kind="AugmentedManifestFile", attributes=["image-ref"]))

    place = f"cannot read {tmp_path}/none.jpg ({path}, line 1, attribute 'image-ref')"
    assert reason == f"ClientError: Channel 'train': {place}: No such file or directory"


def test_3_8_gzip_is_of_the_objects_referred_to(lab, put, lines):
    images = put("img", {"a.gz": gzip.compress(b"inflated")})
    path = lines(json.dumps({"image-ref": f"{images}a.gz", "label": "a"}))
    entry = channel(
        "train", path, kind="AugmentedManifestFile", attributes=["image-ref", "label"], CompressionType="Gzip"
    )

    assert streams(lab, entry) == {"train": [b"inflateda"]}


# --- 3.9 RecordIO ---------------------------------------------------------------------------------


def test_3_9_worked_example_is_byte_exact(lab, put):
    found = streams(lab, channel("train", put("data", {"a": b"abcde"}), RecordWrapperType="RecordIO"))

    assert found == {"train": [bytes.fromhex("0A23D7CE 05000000 6162636465 000000")]}


def test_3_9_every_object_is_one_frame_whatever_its_length_and_content(lab, put):
    payloads = [b"", b"1", b"123", b"1234", b"12345", MAGIC, b"1234" + MAGIC + b"5", MAGIC * 5_000]
    folder = put("data", {f"{number:02}": payload for number, payload in enumerate(payloads)})
    (stream,) = streams(lab, channel("train", folder, RecordWrapperType="RecordIO"))["train"]

    assert stream == b"".join(record(payload) for payload in payloads)
    assert records(stream) == payloads
