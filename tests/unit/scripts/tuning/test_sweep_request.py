import time
from pathlib import Path
from typing import Any

import pytest

from scripts.cleaning import mark
from scripts.submitting import job_file
from scripts.submitting.errors import SubmitError
from scripts.submitting.request import DAY, Situation, limited
from scripts.tuning import request as requests
from tests.unit.scripts.tuning.fake_tuning import ROOT, SWEEPS

ROLE = "arn:aws:iam::123456789012:role/trainer"
SITUATION = Situation(
    base_name="a sweep with a name of many words", local=True, role=ROLE,
    at=time.strptime("2026-11-26 12:00:00", "%Y-%m-%d %H:%M:%S"),
)  # fmt: skip


def written(name: str = "keras-cifar10") -> dict[str, Any]:
    return job_file.placed(requests.read(ROOT / "examples" / "tuning" / f"{name}.yaml"), "s3://mine/vision")


def whole(document: dict[str, Any]) -> dict[str, Any]:
    request = requests.complete(document, SITUATION)
    return requests.with_limits(request, lambda job: limited(job, DAY))


@pytest.mark.parametrize("name", [path.stem for path in SWEEPS])
def test_example_sweeps_are_plans_of_six_trials_two_at_a_time(name: str):
    plan = requests.check(whole(written(name)))

    assert (plan.jobs, plan.parallel) == (6, 2)
    assert plan.definitions[0].objective.metric == "validation:accuracy"


def test_there_is_an_example_sweep_of_each_framework_with_each_data_set():
    assert {path.stem for path in SWEEPS} == {
        f"{framework}-{dataset}" for framework in ("pytorch", "keras") for dataset in ("cifar10", "cub200")
    }


def test_kerass_example_has_the_ranges_of_the_workshop():
    space = requests.check(whole(written())).definitions[0].space

    assert [(each.name, each.write(0), each.write(1)) for each in space] == [
        ("learning_rate", "0.00001", "0.001"), ("batch_size", "64", "256"), ("optimizer", "sgd", "rmsprop"),
    ]  # fmt: skip


def test_numbers_in_a_file_become_the_texts_that_the_api_takes(tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "HyperParameterTuningJobConfig:\n"
        "  ParameterRanges: {IntegerParameterRanges: [{Name: a, MinValue: 1, MaxValue: 9}]}\n"
        "TrainingJobDefinitions:\n"
        "  - StaticHyperParameters: {epochs: 3, cache: true}\n"
        "    Environment: {DEBUG: 1}\n"
        "    HyperParameterRanges: {CategoricalParameterRanges: [{Name: b, Values: [8, x, true]}]}\n"
    )

    document = requests.read(path)

    (integer,) = document["HyperParameterTuningJobConfig"]["ParameterRanges"]["IntegerParameterRanges"]
    assert integer == {"Name": "a", "MinValue": "1", "MaxValue": "9"}
    (definition,) = document["TrainingJobDefinitions"]
    assert definition["StaticHyperParameters"] == {"epochs": "3", "cache": "true"}
    assert definition["Environment"] == {"DEBUG": "1"}
    (choices,) = definition["HyperParameterRanges"]["CategoricalParameterRanges"]
    assert choices["Values"] == ["8", "x", "true"]


def test_what_a_definition_leaves_out_is_filled_in_as_a_jobs():
    request = whole(written())
    definition = request["TrainingJobDefinition"]

    assert definition["AlgorithmSpecification"]["TrainingImage"] == "vision-training-keras:dev"
    assert definition["RoleArn"] == ROLE
    assert definition["ResourceConfig"]["VolumeSizeInGB"] == 30
    assert {each["Name"] for each in definition["AlgorithmSpecification"]["MetricDefinitions"]} >= {
        "validation:accuracy"
    }
    assert "TrainingJobName" not in definition
    assert "HyperParameters" not in definition


def test_name_is_one_that_a_tuning_job_may_have():
    name = requests.complete(written(), SITUATION)["HyperParameterTuningJobName"]

    assert name == "a-sweep-with-a-n-20261126-120000"
    assert len(name) == 32


def test_tuning_job_has_the_mark_by_which_it_is_cleaned_up_and_its_definition_has_not():
    request = requests.complete(written() | {"Tags": [{"Key": "team", "Value": "vision"}]}, SITUATION)

    assert request["Tags"] == [{"Key": "team", "Value": "vision"}, mark.tag(mark.TUNE)]
    assert "Tags" not in request["TrainingJobDefinition"]


def test_trials_share_no_checkpoints_unless_a_place_for_them_is_given():
    document = written()

    definition = whole(document)["TrainingJobDefinition"]
    assert definition["EnableManagedSpotTraining"] is False
    assert "CheckpointConfig" not in definition
    document["TrainingJobDefinition"]["CheckpointConfig"] = {"S3Uri": "s3://mine/c"}
    assert whole(document)["TrainingJobDefinition"]["CheckpointConfig"] == {"S3Uri": "s3://mine/c"}


def test_limits_are_those_of_a_trial_with_the_first_values():
    seen = []

    def limit(job: dict[str, Any]) -> dict[str, Any]:
        seen.append(job["HyperParameters"])
        return limited(job, 60)

    request = requests.with_limits(requests.complete(written(), SITUATION), limit)

    (values,) = seen
    assert (values["epochs"], values["batch_size"], values["learning_rate"]) == ("2", "64", "0.00001")
    assert request["TrainingJobDefinition"]["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}
    assert "batch_size" not in request["TrainingJobDefinition"]["StaticHyperParameters"]


def test_flexible_instances_need_no_plain_ones():
    document = written()
    del document["TrainingJobDefinition"]["ResourceConfig"]
    flexible = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
    document["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] = flexible

    definition = whole(document)["TrainingJobDefinition"]
    assert "ResourceConfig" not in definition
    assert definition["HyperParameterTuningResourceConfig"] == flexible


def test_static_hyperparameters_that_are_typed_go_over_the_files():
    document = requests.with_static(written(), {"epochs": "9"})

    assert document["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] == "9"
    assert document["TrainingJobDefinition"]["StaticHyperParameters"]["model"] == "workshop"
    assert requests.with_static(written(), {}) == written()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Strategy", "Grid", "Grid search takes CategoricalParameterRanges only"),
        ("Strategy", "Bayes", r"Strategy is 'Bayes'; did you mean Bayesian\?"),
        ("ResourceLimits", {"MaxParallelTrainingJob": 2}, r"did you mean MaxParallelTrainingJobs\?"),
        ("Strateg", "Random", r"HyperParameterTuningJobConfig has no field 'Strateg'; did you mean Strategy\?"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before_it_is_asked(field: str, value: Any, said: str):
    request = whole(written())
    request["HyperParameterTuningJobConfig"][field] = value

    with pytest.raises(SubmitError, match=said):
        requests.check(request)


def test_missing_field_is_told_by_the_operation_that_requires_it():
    request = whole(written())
    del request["HyperParameterTuningJobConfig"]["Strategy"]

    with pytest.raises(SubmitError, match="Strategy is missing; CreateHyperParameterTuningJob requires it"):
        requests.check(request)
