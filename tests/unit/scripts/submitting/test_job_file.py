from pathlib import Path

import pytest

from scripts.submitting import job_file
from scripts.submitting.errors import SubmitError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return path


def test_numbers_and_truth_become_the_strings_that_programs_read(tmp_path: Path):
    text = "HyperParameters: {epochs: 8, rate: 0.05, flip: true, note: x}\nStoppingCondition: {MaxRuntimeInSeconds: 60}"

    document = job_file.read(written(tmp_path, text))

    assert document["HyperParameters"] == {"epochs": "8", "rate": "0.05", "flip": "true", "note": "x"}
    assert document["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}


def test_what_is_left_empty_is_as_if_it_were_not_there(tmp_path: Path):
    document = job_file.read(written(tmp_path, "Tags:\nResourceConfig: {InstanceType: ml.m5.large, InstanceCount: }"))

    assert document == {"ResourceConfig": {"InstanceType": "ml.m5.large"}}


def test_key_that_comes_twice_is_refused_where_yaml_takes_the_last(tmp_path: Path):
    with pytest.raises(SubmitError, match="'epochs' is given twice"):
        job_file.read(written(tmp_path, "HyperParameters:\n  epochs: 1\n  epochs: 2\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a list", "holds a list; it must be a map"), ("{a: ", "is no YAML"), ("", "holds a NoneType")],
)
def test_file_that_holds_no_request_is_refused(tmp_path: Path, text: str, said: str):
    with pytest.raises(SubmitError, match=said):
        job_file.read(written(tmp_path, text))


def test_missing_file_is_named_with_where_to_find_one(tmp_path: Path):
    with pytest.raises(
        SubmitError, match=r"none.yaml: No such file or directory; give a file such as .* examples/jobs"
    ):
        job_file.read(tmp_path / "none.yaml")


def test_bucket_takes_the_place_of_the_placeholder_wherever_it_stands():
    document = {"A": ["s3://BUCKET/x", {"B": "s3://BUCKET"}], "C": "s3://BUCKETS/x", "D": 5}

    assert job_file.placed(document, "s3://mine/vision/") == {
        "A": ["s3://mine/vision/x", {"B": "s3://mine/vision"}], "C": "s3://BUCKETS/x", "D": 5,
    }  # fmt: skip


def test_placeholder_without_a_bucket_is_refused():
    with pytest.raises(SubmitError, match="refers to s3://BUCKET/x, .* give --bucket"):
        job_file.placed({"A": "s3://BUCKET/x"}, "")


@pytest.mark.parametrize("bucket", ["mine", "https://mine", "s3://Mine", "s3://"])
def test_bucket_that_is_no_place_in_s3_is_refused(bucket: str):
    with pytest.raises(SubmitError, match=f"--bucket {bucket} is no place in S3"):
        job_file.placed({}, bucket)


def test_hyperparameters_typed_win_over_those_of_the_file():
    document = {"HyperParameters": {"epochs": "8", "seed": "1"}}

    assert job_file.with_hyperparameters(document, {"epochs": "2"})["HyperParameters"] == {"epochs": "2", "seed": "1"}
    assert document["HyperParameters"]["epochs"] == "8"
