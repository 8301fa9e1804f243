import json
from pathlib import Path

import pytest

from scripts.datasets import cifar10, cub200
from scripts.datasets.forms import FIXED, JPEG
from scripts.datasets.shards import Sharding
from scripts.submitting.errors import SubmitError
from scripts.submitting.uploading import plan, split
from tests.unit.scripts.submitting.jobs import example


def test_shards_go_where_the_channels_look_for_them(tmp_path: Path):
    cifar10.prepare(cifar10.Drawn(), tmp_path / "data", Sharding(form=FIXED))

    uploads = plan(example(), tmp_path / "data")

    keys = sorted(upload.key for upload in uploads)
    assert keys[0] == "vision/cifar10/train/part-000.bin"
    assert keys[-1] == "vision/cifar10/validation/part-000.bin"
    assert {upload.bucket for upload in uploads} == {"mine"}
    assert sum(upload.size for upload in uploads) == 12_000 * 3073


def test_manifests_refer_to_the_photographs_where_they_will_be_and_come_last(tmp_path: Path):
    cub200.prepare(cub200.Drawn(), tmp_path / "data", Sharding(form=JPEG))

    uploads = plan(example("pytorch-cub200"), tmp_path / "data")

    manifests = [upload for upload in uploads if upload.path is None]
    assert [upload.key for upload in manifests] == [
        f"vision/cub200/{channel}.manifest" for channel in ("train", "validation", "test")
    ]
    assert uploads[-3:] == manifests
    keys = {f"s3://{upload.bucket}/{upload.key}" for upload in uploads if upload.path}
    lines = [json.loads(line) for upload in manifests for line in upload.body.splitlines()]
    assert len(lines) == 600
    assert {line["source-ref"] for line in lines} <= keys
    assert set(lines[0]) == {"source-ref", "label", "box", "key"}


def test_folder_that_was_not_prepared_is_refused(tmp_path: Path):
    with pytest.raises(SubmitError, match=f"{tmp_path} holds no prepared data"):
        plan(example(), tmp_path)


def test_channel_that_the_folder_lacks_is_named(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "train").mkdir()

    with pytest.raises(SubmitError, match="has no channel 'validation', which the job reads"):
        plan(example(), tmp_path)


@pytest.mark.parametrize("uri", ["file:///data", "s3://", ""])
def test_nothing_is_uploaded_to_what_is_no_place_in_s3(uri: str):
    with pytest.raises(SubmitError, match="is no place in S3"):
        split(uri)
