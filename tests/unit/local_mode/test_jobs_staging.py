import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local_mode.errors import ArtifactError, LocalModeError, SourceError
from local_mode.instance.plan import ChannelSpec
from local_mode.instance.s3 import S3Object, split
from local_mode.jobs.staging import Staging, model_uri


@dataclass
class FakeS3:
    """Objects by URI, and what was done to them."""

    objects: dict[str, bytes] = field(default_factory=dict)
    acts: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    def list(self, uri):
        found = sorted(name for name in self.objects if name.startswith(uri))
        pairs = ((*split(name), name) for name in found)
        return tuple(S3Object(bucket=b, key=k, size=len(self.objects[n]), tag="t") for b, k, n in pairs)

    def download(self, item, path):
        if self.broken:
            raise SourceError("Cannot read it: 404")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.objects[f"s3://{item.bucket}/{item.key}"])

    def upload(self, path, uri):
        if self.broken:
            raise SourceError("Cannot write it: 403")
        self.acts.append(("upload", uri))
        self.objects[uri] = path.read_bytes()

    def delete(self, uri):
        self.acts.append(("delete", uri))
        del self.objects[uri]


def spec(uri, mode="File"):
    return ChannelSpec(name="train", uri=uri, mode=mode)


def test_channel_lies_below_the_scratch_in_the_order_and_names_of_s3(tmp_path: Path):
    s3 = FakeS3({"s3://b/p/train/z": b"1", "s3://b/p/train/a/x": b"22", "s3://b/p/train/": b"", "s3://b/other": b""})
    staging = Staging(s3, tmp_path)
    plan = staging.plan(spec("s3://b/p/train"))

    assert [(item.name, item.size) for item in plan.objects] == [("a/x", 2), ("z", 1)]
    assert plan.root == tmp_path / "channels" / "train"
    assert plan.surprise == ""
    assert not plan.root.exists()
    staging.bring()
    assert [Path(item.key).read_bytes() for item in plan.objects] == [b"22", b"1"]


@pytest.mark.parametrize(("mode", "how"), [("Pipe", "streamed from a copy"), ("FastFile", "read from a copy")])
def test_mode_that_is_not_what_it_is_on_aws_is_told(tmp_path: Path, mode, how):
    assert how in Staging(FakeS3({"s3://b/k": b""}), tmp_path).plan(spec("s3://b/k", mode)).surprise


@pytest.mark.parametrize(
    ("keys", "uri", "message"),
    [
        ([], "s3://b/p", 'No S3 objects found under S3 URL "s3://b/p"'),
        (["p/"], "s3://b/p", "No S3 objects found"),
        (["p/../../x"], "s3://b/p/", "s3://b/p/../../x cannot be a file below a channel"),
        (["p//x"], "s3://b/p/", "cannot be a file below a channel"),
        (["p/a", "p/a/b"], "s3://b/p/", "both an object 'a' and objects below it"),
        (["d/p/p", "d/p"], "s3://b/d/p", "puts two objects at one place"),
    ],
)
def test_objects_that_cannot_be_files_are_refused_before_the_start(tmp_path: Path, keys, uri, message):
    objects = {f"s3://b/{key}": b"" for key in keys}
    with pytest.raises(SourceError, match=message):
        Staging(FakeS3(objects), tmp_path).plan(spec(uri))


def test_object_that_vanished_fails_the_download_in_the_words_of_the_platform(tmp_path: Path):
    s3 = FakeS3({"s3://b/k": b"1"})
    staging = Staging(s3, tmp_path)
    staging.plan(spec("s3://b/k"))
    s3.broken = True

    with pytest.raises(LocalModeError, match="Data download failed: Cannot read it: 404"):
        staging.bring()


def test_only_what_changed_in_a_folder_goes_back(tmp_path: Path):
    s3 = FakeS3({"s3://b/c/same": b"1", "s3://b/c/gone": b"2", "s3://b/c/new": b"3", "s3://b/cc": b"no"})
    staging = Staging(s3, tmp_path)
    folder = Path(staging.folder("s3://b/c"))
    assert sorted(path.name for path in folder.iterdir()) == ["gone", "new", "same"]

    (folder / "gone").unlink()
    (folder / "new").write_bytes(b"changed")
    (folder / "deep").mkdir()
    (folder / "deep" / "er").write_bytes(b"4")
    staging.send_folder("s3://b/c")

    assert s3.acts == [("upload", "s3://b/c/deep/er"), ("upload", "s3://b/c/new"), ("delete", "s3://b/c/gone")]


def test_archives_go_below_output_path_and_job(tmp_path: Path):
    s3 = FakeS3()
    for name in ("model.tar.gz", "output.tar.gz"):
        (tmp_path / name).write_text(name)
    Staging(s3, tmp_path / "s").publish(tmp_path, "s3://b/out/", "job")

    assert set(s3.objects) == {"s3://b/out/job/output/model.tar.gz", "s3://b/out/job/output/output.tar.gz"}
    assert model_uri("s3://b/out", "job") == "s3://b/out/job/output/model.tar.gz"
    s3.broken = True
    with pytest.raises(ArtifactError, match="Artifact upload failed: Cannot write it: 403"):
        Staging(s3, tmp_path / "s").publish(tmp_path, "s3://b/out/", "job")


def test_places_of_this_machine_are_left_as_they_are(tmp_path: Path):
    staging = Staging(None, tmp_path / "scratch")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")

    assert staging.plan(spec(str(tmp_path / "data"))).objects[0].key == str(tmp_path / "data" / "a")
    assert staging.folder(str(tmp_path)) == str(tmp_path)
    staging.bring()
    staging.send_folder(str(tmp_path))
    assert not (tmp_path / "scratch").exists()
    shutil.rmtree(tmp_path / "data")


@pytest.mark.parametrize("ask", ["plan", "output", "folder"])
def test_s3_is_refused_where_none_is_served(tmp_path: Path, ask):
    staging = Staging(None, tmp_path)
    calls = {
        "plan": lambda: staging.plan(spec("s3://b/k")),
        "output": lambda: staging.check_output("s3://b/k"),
        "folder": lambda: staging.folder("s3://b/k"),
    }
    with pytest.raises(SourceError, match="local_mode does not read or write 's3://b/k' without its endpoint"):
        calls[ask]()


def test_manifest_in_s3_is_refused_and_not_streamed_as_data(tmp_path: Path):
    listed = ChannelSpec(name="train", uri="s3://b/list.json", mode="Pipe", data_type="ManifestFile")
    with pytest.raises(SourceError, match="does not read a ManifestFile from S3 yet"):
        Staging(None, tmp_path).plan(listed)
