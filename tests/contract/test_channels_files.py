"""Sections 3.5 and 3.6 of the platform contract, over every runner: channels as files."""

import os

import pytest

from local_mode.errors import SourceError
from tests.contract.channels import FILES, channel


@pytest.mark.contract("3.5", "R")
def test_3_5_files_of_a_manifest_keep_their_whole_key(lab, put, manifest):
    prefix = put("bucket/k", {"a/1.bin": b"one", "2.bin": b"two", "3.bin": b"not named"})
    entry = channel("train", manifest(prefix, "a/1.bin", "2.bin"), kind="ManifestFile")
    run = lab.run(["tree"], InputDataConfig=[entry], mode="File")

    assert run.report["files"] == {"k/a/1.bin": "one", "k/2.bin": "two"}


@pytest.mark.contract("3.4", "D")
def test_3_5_shuffle_of_files_changes_nothing_and_is_said_to(lab, put):
    entry = channel("train", put("data", FILES), ShuffleConfig={"Seed": 1})
    run = lab.run(["tree"], InputDataConfig=[entry], mode="File")

    assert run.report["files"] == {name: content.decode() for name, content in FILES.items()}
    assert any("ShuffleConfig shows in Pipe mode only" in note for note in run.recorder.notes)


@pytest.fixture(scope="module")
def trees(shared_lab, tmp_path_factory):
    """What a program finds of one folder under many prefixes, and where that folder is."""
    folder = tmp_path_factory.mktemp("set")
    for name, text in {
        "in/x/y.csv": "deep", "in/y.csv": "flat", "in/\u00e9 +%20.csv": "odd", "in/.hidden": "dot", "in/empty": "",
        "train-data.csv": "partial", "train/z.csv": "in its folder", "notes.txt": "not asked for",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "in" / "raw.gz").write_bytes(b"\x1f\x8b not inflated")
    uris = {
        "slash": f"{folder}/in/",
        "folder": f"{folder}/in",
        "single": f"{folder}/in/y.csv",
        "partial": f"{folder}/train",
        "uri": (folder / "in").as_uri() + "/",
    }
    entries = [channel(name, uri) for name, uri in uris.items()]
    entries.append(channel("fast", f"{folder}/in/", InputMode="FastFile"))
    report = shared_lab.run(["trees"], InputDataConfig=entries, mode="File").report["trees"]
    return {name: {path: bytes.fromhex(text) for path, text in files.items()} for name, files in report.items()}


WHOLE = {"x/y.csv", "y.csv", "\u00e9 +%20.csv", ".hidden", "empty", "raw.gz"}


@pytest.mark.contract("3.5", "O", "a prefix that ends in a slash gives the folder's files, named from there")
def test_prefix_with_a_slash_is_the_folder(trees):
    assert set(trees["slash"]) == WHOLE


@pytest.mark.contract("3.5", "O", "a folder's whole name without a slash gives the same files as with one")
def test_prefix_without_a_slash_is_cut_at_the_folder(trees):
    assert trees["folder"] == trees["slash"]


@pytest.mark.contract("3.5", "C", "the key of a single object gives that one file under its own name")
def test_single_object_is_one_file(trees):
    assert trees["single"] == {"y.csv": b"flat"}


@pytest.mark.contract("3.2", "D", "a prefix is text: `train` takes train-data.csv beside the folder train")
def test_prefix_is_text(trees):
    assert trees["partial"] == {"train-data.csv": b"partial", "z.csv": b"in its folder"}


@pytest.mark.contract("3.5", "U", "a file:// URI names the same files as the path")
def test_uri_names_what_the_path_does(trees):
    assert trees["uri"] == trees["slash"]


@pytest.mark.contract("3.6", "D", "FastFile gives the files at the paths of File mode")
def test_fast_file_has_the_paths_of_file_mode(trees):
    assert trees["fast"] == trees["slash"]


@pytest.mark.contract("3.5", "D", "Gzip is not inflated in File mode")
def test_gzip_stays_gzip_in_a_file(trees):
    assert trees["slash"]["raw.gz"] == b"\x1f\x8b not inflated"


@pytest.mark.contract("3.5", "I", "names with spaces, accents, + and % reach the program as they are")
def test_odd_names_arrive_as_they_are(trees):
    assert trees["slash"]["\u00e9 +%20.csv"] == b"odd"


@pytest.mark.contract("3.5", "I", "empty and hidden files are delivered like any other")
def test_empty_and_hidden_files_are_delivered(trees):
    assert (trees["slash"]["empty"], trees["slash"][".hidden"]) == (b"", b"dot")


@pytest.mark.contract("3.6", "D", "FastFile refuses a prefix that is no folder")
def test_fast_file_refuses_what_is_no_folder(lab, put):
    folder = put("data", FILES)
    with pytest.raises(SourceError, match="FastFile needs a whole folder of plain files"):
        lab.run(["look"], InputDataConfig=[channel("train", f"{folder}a", InputMode="FastFile")])
    assert not (lab.root / "jobs").exists()


@pytest.mark.contract("3.5", "U", "a link to a folder is refused: S3 has none, and it would lead out of the channel")
def test_link_to_a_folder_is_refused(lab, put, tmp_path):
    put("data", FILES)
    (tmp_path / "data" / "out").symlink_to("/etc")
    with pytest.raises(SourceError, match="is a link to a folder; S3 has none"):
        lab.run(["look"], InputDataConfig=[channel("train", tmp_path / "data")], mode="File")


@pytest.mark.contract("3.5", "U", "a FIFO or socket in a channel's folder is refused and named, not waited for")
def test_special_file_is_refused(lab, put, tmp_path):
    put("data", FILES)
    os.mkfifo(tmp_path / "data" / "fifo")
    with pytest.raises(SourceError, match="data/fifo: it is not a plain file"):
        lab.run(["look"], InputDataConfig=[channel("train", tmp_path / "data")], mode="File")


@pytest.mark.contract("3.5", "D", "data that cannot be brought fails the job before its program runs")
def test_data_that_cannot_be_brought_fails_the_job_before_it_runs(lab, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "gone.ckpt").symlink_to(tmp_path / "nowhere")
    run = lab.run(["look"], CheckpointConfig={"S3Uri": str(tmp_path / "kept")})

    assert run.description["FailureReason"].startswith("ClientError: Cannot copy checkpoint ")
    assert run.secondaries == ["Starting", "Downloading", "Failed"]
    assert run.recorder.lines == []
