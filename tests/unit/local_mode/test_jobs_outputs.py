from pathlib import Path

import pytest

from local_mode.errors import ArtifactError, SourceError
from local_mode.jobs.outputs import Outputs, model_uri
from tests.unit.local_mode.fake_s3 import FakeS3


def test_checkpoints_of_a_prefix_come_and_go_but_not_the_platforms_own(tmp_path: Path):
    s3 = FakeS3({"s3://b/c/deep/old": b"1", "s3://b/c/x.sagemaker-uploaded": b"", "s3://b/cc": b"no"})
    store = Outputs(s3).checkpoints("s3://b/c")
    store.bring(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == ["deep/old"]

    (tmp_path / "new").write_bytes(b"2")
    store.put(tmp_path / "new", "deep/new")
    store.remove("deep/old")

    assert s3.acts == [("upload", "s3://b/c/deep/new"), ("delete", "s3://b/c/deep/old")]
    with pytest.raises(SourceError, match="its name is not UTF-8; rename it"):
        store.put(tmp_path / "new", "bad\udcff")


def test_folder_is_a_store_of_checkpoints_too(tmp_path: Path):
    store, aside = Outputs(None).checkpoints((tmp_path / "kept").as_uri()), tmp_path / "aside"
    store.bring(tmp_path / "local")
    assert not (tmp_path / "local").exists()  # nothing is there: the job starts anew
    aside.write_text("1")
    store.put(aside, "deep/a")
    store.bring(tmp_path / "local")
    assert (tmp_path / "local" / "deep" / "a").read_text() == "1"
    store.remove("deep/a")
    store.remove("deep/a")

    assert list((tmp_path / "kept").iterdir()) == []
    assert not aside.exists()


def test_checkpoint_that_cannot_be_written_leaves_no_half_of_it(tmp_path: Path):
    (tmp_path / "kept" / "a").mkdir(parents=True)
    (tmp_path / "aside").write_text("1")
    with pytest.raises(ArtifactError, match=r"Cannot write .*/kept/a: Is a directory"):
        Outputs(None).checkpoints(str(tmp_path / "kept")).put(tmp_path / "aside", "a")

    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["a"]


def test_archives_go_below_output_path_and_job(tmp_path: Path):
    s3 = FakeS3()
    for name in ("model.tar.gz", "output.tar.gz"):
        (tmp_path / name).write_text(name)
    Outputs(s3).publish(tmp_path, "s3://b/out/", "job")

    assert set(s3.objects) == {"s3://b/out/job/output/model.tar.gz", "s3://b/out/job/output/output.tar.gz"}
    assert model_uri("s3://b/out", "job") == "s3://b/out/job/output/model.tar.gz"
    assert model_uri("s3://b/out", "job", compressed=False) == "s3://b/out/job/output/model/"
    assert model_uri("/out", "job", compressed=False) == "file:///out/job/output/model/"
    s3.broken = True
    with pytest.raises(ArtifactError, match="Artifact upload failed: Cannot write it: 403"):
        Outputs(s3).publish(tmp_path, "s3://b/out/", "job")


@pytest.mark.parametrize("ask", ["check_output", "checkpoints"])
def test_s3_is_refused_where_none_is_served(ask):
    with pytest.raises(SourceError, match="local_mode does not read or write 's3://b/k' here"):
        getattr(Outputs(None), ask)("s3://b/k")
