import pytest
from trainjob import cub200

from scripts.submitting.errors import SubmitError
from scripts.submitting.request import LOCAL_ROLE, complete, dataset_of, limited, name_of
from tests.unit.scripts.submitting.jobs import AT, ROLE, example, situation, whole


def test_what_is_left_out_is_filled_in_with_safe_defaults():
    request = whole(example("pytorch-cub200"))

    assert request["TrainingJobName"] == "a-job-20261126-120000"
    assert request["AlgorithmSpecification"]["TrainingImage"] == "vision-training-pytorch:dev"
    names = [metric["Name"] for metric in request["AlgorithmSpecification"]["MetricDefinitions"]]
    assert names == list(cub200.METRICS)
    assert request["RoleArn"] == ROLE
    assert request["EnableManagedSpotTraining"] is True
    assert request["CheckpointConfig"] == {"S3Uri": "s3://mine/vision/models/a-job-20261126-120000/checkpoints/"}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert request["ResourceConfig"]["VolumeSizeInGB"] == 50


def test_what_was_written_stays_as_it_was_written():
    document = example()
    written = {
        "TrainingJobName": "mine",
        "RoleArn": "arn:aws:iam::123456789012:role/own",
        "EnableManagedSpotTraining": False,
        "CheckpointConfig": {"S3Uri": "s3://other/place"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 77},
    }
    document.update(written)
    document["AlgorithmSpecification"].update({"TrainingImage": "my/own:1", "MetricDefinitions": []})

    request = whole(document)

    assert {key: request[key] for key in written} == written
    assert request["AlgorithmSpecification"]["TrainingImage"] == "my/own:1"
    assert request["AlgorithmSpecification"]["MetricDefinitions"] == []


def test_completing_changes_nothing_of_what_it_was_given():
    document = example()

    whole(document)

    assert document == example()


def test_instance_that_is_kept_warm_is_no_spot_instance():
    document = example()
    document["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 600

    request = whole(document)

    assert request["EnableManagedSpotTraining"] is False
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}


def test_time_limit_is_in_whole_minutes_and_never_below_what_is_needed():
    assert limited({}, 61.0)["StoppingCondition"] == {"MaxRuntimeInSeconds": 120}


def test_role_is_required_on_aws_and_nobodys_on_this_machine():
    document = example()
    document["AlgorithmSpecification"]["TrainingImage"] = "my/own:1"

    assert complete(document, situation(role=None))["RoleArn"] == LOCAL_ROLE
    with pytest.raises(SubmitError, match="RoleArn is missing; .* SAGEMAKER_ROLE_ARN"):
        complete(document, situation(role=None, local=False))


def test_metrics_of_an_image_or_a_script_of_ones_own_are_not_guessed():
    foreign, script = example(), example()
    foreign["AlgorithmSpecification"]["TrainingImage"] = "my/own:1"
    script["HyperParameters"]["sagemaker_program"] = "train.py"

    assert dataset_of(example()) == "cifar10"
    assert dataset_of(foreign) is dataset_of(script) is None
    assert "MetricDefinitions" not in whole(foreign)["AlgorithmSpecification"]
    assert "MetricDefinitions" not in whole(script)["AlgorithmSpecification"]


@pytest.mark.parametrize(
    ("base", "begins"), [("my_job 1", "my-job-1-2026"), ("--", "job-2026"), ("x" * 80, "x" * 47 + "-2026")]
)
def test_name_of_a_job_is_one_that_the_service_takes(base: str, begins: str):
    name = name_of(base, AT)

    assert name.startswith(begins)
    assert len(name) <= 63
