"""What the platform puts around a container as files: /opt/ml, artifacts, checkpoints, and their removal."""

import json
import os
import tarfile

import pytest
from trainjob import contract

from local_mode.channels.plan import ChannelSpec
from local_mode.errors import ArtifactError
from local_mode.instance import artifacts, checkpoints, opt_ml
from local_mode.instance.cleaning import remove_tree
from local_mode.instance.cluster import alike


@pytest.fixture
def paths(tmp_path):
    channel = ChannelSpec(name="train", uri="/data/", mode="Pipe", content_type="image/x", record_wrapper="RecordIO")
    return opt_ml.write(
        tmp_path / "ml",
        hyperparameters={"lr": "0.1"},
        channels=[channel],
        cluster=alike("ml.g5.xlarge", 1),
        host="algo-1",
        network_interface="eth9",
        checkpoint_path="/opt/ml/checkpoints",
    )


def test_tree_has_the_documented_files_and_folders(paths):
    assert json.loads(paths.hyperparameters.read_text()) == {"lr": "0.1"}
    assert json.loads(paths.input_data_config.read_text()) == {
        "train": {
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "RecordIO",
            "ContentType": "image/x",
        }
    }
    assert json.loads(paths.resource_config.read_text())["network_interface_name"] == "eth9"
    assert json.loads(paths.checkpoint_config.read_text()) == {"LocalPath": "/opt/ml/checkpoints"}
    assert all(path.is_dir() for path in (paths.model, paths.output_data, paths.checkpoints, paths.data))


def test_failure_text_is_cut_and_never_fails(paths):
    assert opt_ml.failure_text(paths) is None
    paths.failure.write_bytes(b"\xff" + "ü".encode() * 5000)
    assert opt_ml.failure_text(paths) == "\ufffd" + "ü" * (contract.FAILURE_LIMIT - 1)
    paths.failure.unlink()
    paths.failure.mkdir()
    assert opt_ml.failure_text(paths) is None


def test_archives_hold_contents_without_a_leading_folder(paths, tmp_path):
    (paths.model / "sub").mkdir()
    (paths.model / "sub" / "w.bin").write_bytes(b"w")
    (paths.output / "failure").write_text("not in output.tar.gz")
    (paths.output_data / "curve.csv").write_text("x")
    artifacts.pack({"algo-1": paths}, tmp_path)

    def members(name):
        with tarfile.open(tmp_path / name) as archive:
            return archive.getnames()

    assert members("model.tar.gz") == ["sub", "sub/w.bin"]
    assert members("output.tar.gz") == ["curve.csv"]
    assert not list(tmp_path.glob(".*.part"))


def test_archive_that_cannot_be_written_leaves_no_half_and_loses_nothing(paths, tmp_path):
    (paths.model / "weights").write_text("trained for a week")
    (tmp_path / "model.tar.gz").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(ArtifactError, match="Artifact upload failed: cannot write .*model.tar.gz"):
        artifacts.pack({"algo-1": paths}, tmp_path)
    assert not list(tmp_path.glob(".*.part"))
    assert (tmp_path / "model" / "weights").read_text() == "trained for a week"


def test_folders_of_several_hosts_that_cannot_be_packed_are_kept_apart(paths, tmp_path):
    other = contract.Paths(tmp_path / "other")
    for number, model in enumerate((paths.model, other.model)):
        model.mkdir(parents=True, exist_ok=True)
        (model / "weights").write_text(str(number))
    (tmp_path / "model.tar.gz").mkdir()
    with pytest.raises(ArtifactError, match=f"what the program wrote is in {tmp_path}/model"):
        artifacts.pack({"algo-1": paths, "algo-2": other}, tmp_path)

    assert (tmp_path / "model" / "algo-1" / "weights").read_text() == "0"
    assert (tmp_path / "model" / "algo-2" / "weights").read_text() == "1"


def test_upload_that_cannot_be_written_is_the_users_error(paths, tmp_path):
    artifacts.pack({"algo-1": paths}, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot write to .*/file/job/output: Not a directory"):
        artifacts.publish(tmp_path, str(tmp_path / "file"), "job")


def test_checkpoints_nobody_claims_are_kept_only_if_there_are_any(tmp_path):
    (tmp_path / "local").mkdir()
    checkpoints.keep(tmp_path / "local", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    (tmp_path / "local" / "a").touch()
    checkpoints.keep(tmp_path / "local", tmp_path / "kept")
    assert (tmp_path / "kept" / "a").exists()


def test_tree_is_removed_whatever_permissions_it_has(tmp_path):
    (tmp_path / "top" / "locked" / "inner").mkdir(parents=True)
    (tmp_path / "top" / "locked" / "inner" / "file").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "top" / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "top" / "fifo")
    for folder in ("top/locked/inner", "top/locked"):
        (tmp_path / folder).chmod(0)
    remove_tree(tmp_path / "top")
    remove_tree(tmp_path / "top")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside"]


def test_artifacts_without_compression_are_files_and_no_links(paths, tmp_path):
    notes: list[str] = []
    (paths.model / "deep").mkdir()
    (paths.model / "deep" / "w.bin").write_bytes(b"w")
    (paths.model / "inside").symlink_to("deep/w.bin")
    (paths.model / "outside").symlink_to("/etc/passwd")
    (paths.model / "folder").symlink_to("deep")
    assert artifacts.lay_out({"algo-1": paths}, tmp_path, notes.append) == {"model/": (), "output/": ()}
    artifacts.publish(tmp_path, str(tmp_path / "out"), "job")

    assert artifacts.left(tmp_path) == ["model/deep/w.bin", "model/inside"]
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"job/output/model/deep/w.bin", "job/output/model/inside"}
    assert sorted(note.split()[0] for note in notes) == ["model/folder", "model/outside"]
    assert not list(tmp_path.rglob("*.part"))
