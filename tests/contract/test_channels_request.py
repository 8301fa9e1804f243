"""Sections 3.1 and 3.2 of the platform contract, over every runner: what a request may ask for, and what it names."""

import pytest

from local_mode.channels.manifest import list_manifest
from local_mode.errors import SourceError, ValidationError
from local_mode.jobs.rules import parse
from tests.contract.channels import FILES, channel, streams
from tests.contract.lab import document

# --- 3.1 the request -------------------------------------------------------------------------------


@pytest.mark.contract("3.1", "D")
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


@pytest.mark.contract("3.1", "D", "at once refused: {message}")
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


# --- 3.2 which objects, in which order -------------------------------------------------------------


@pytest.mark.contract("3.2", "D")
def test_3_2_manifest_gives_what_it_names_in_its_own_order(lab, put, manifest):
    prefix = put("bucket/set", {"a/1.bin": b"one", "b/2.bin": b"two", "c.bin": b"not named"})
    path = manifest(prefix, "b/2.bin", "a/1.bin", "b/2.bin")

    assert streams(lab, channel("train", path, kind="ManifestFile")) == {"train": [b"twoonetwo"]}


@pytest.mark.contract("3.2", "D", "the prefix of a manifest is text that each suffix is appended to")
def test_3_2_manifest_prefix_is_text_and_may_be_a_file_uri(lab, put, manifest, tmp_path):
    put("my set", {"image 1": b"one", "image 2": b"two"})
    path = manifest((tmp_path / "my set").as_uri() + "/image", " 2", " 1")

    assert streams(lab, channel("train", path.as_uri(), kind="ManifestFile")) == {"train": [b"twoone"]}


@pytest.mark.contract("3.2", "R", "a {data_type} that matches nothing is refused before the job is made")
@pytest.mark.parametrize("data_type", ["S3Prefix", "ManifestFile", "AugmentedManifestFile"])
def test_3_2_empty_match_is_refused_before_the_job_is_made(lab, tmp_path, data_type):
    attributes = ["label"] if data_type.startswith("Augmented") else None
    entry = channel("train", tmp_path / "nowhere", kind=data_type, attributes=attributes)
    with pytest.raises(SourceError, match="Channel 'train': No S3 objects found under S3 URL \".*/nowhere\""):
        lab.run(["look"], InputDataConfig=[entry])
    assert not (lab.root / "jobs").exists()


@pytest.mark.contract("3.2", "U")
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
