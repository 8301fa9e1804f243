from typing import Any

import pytest

from scripts.submitting import checking
from scripts.submitting.errors import SubmitError
from tests.unit.scripts.submitting.jobs import EXAMPLES, example, whole


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_example_jobs_are_requests_that_the_service_model_accepts(name: str):
    checking.check(whole(example(name)), whole=True)


def test_there_is_an_example_of_each_framework_with_each_data_set():
    assert {path.stem for path in EXAMPLES} == {
        f"{framework}-{dataset}" for framework in ("pytorch", "keras") for dataset in ("cifar10", "cub200")
    }


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"HyperParameter": {}}, r"The request has no field 'HyperParameter'; did you mean HyperParameters\?"),
        ({"hyperparameters": {}}, r"no field 'hyperparameters'; did you mean HyperParameters\?"),
        ({"ResourceConfig": {"InstanceTyp": "x"}}, r"ResourceConfig has no field 'InstanceTyp'; .* InstanceType\?"),
        ({"MaxRuntimeInSeconds": 5}, "no field 'MaxRuntimeInSeconds'; it is a field of StoppingCondition"),
        ({"Colour": "red"}, "no field 'Colour'; a request can have: AlgorithmSpecification, "),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": "60"}},
            "MaxRuntimeInSeconds is '60'; it must be a whole number",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "is True; it must be a whole number"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "MaxRuntimeInSeconds is 0; it must be 1 to any"),
        ({"EnableManagedSpotTraining": "yes"}, "EnableManagedSpotTraining is 'yes'; it must be true or false"),
        ({"RoleArn": 5}, "RoleArn is 5; it must be a string: write '5', in quotes"),
        ({"InputDataConfig": {"train": {}}}, "InputDataConfig is {'train': {}}; it must be a list"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "pipe"}}, r"is 'pipe'; did you mean Pipe\?"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "x"}}, "is 'x'; it can be: Pipe, File, FastFile"),
        ({"HyperParameters": {"epochs": [1]}}, r"HyperParameters.epochs is \[1\]; it must be a string"),
        ({"InputDataConfig": [{"ChannelNam": "train"}]}, r"InputDataConfig\[0\] has no field 'ChannelNam'"),
    ],
)
def test_what_is_unknown_or_mistyped_is_refused_with_what_was_meant(document: dict[str, Any], said: str):
    with pytest.raises(SubmitError, match=said):
        checking.check(document, whole=False)


def test_missing_fields_are_wrong_once_nothing_is_filled_in_any_more():
    request = whole()
    del request["OutputDataConfig"]["S3OutputPath"], request["RoleArn"]

    checking.check(request, whole=False)
    with pytest.raises(SubmitError) as raised:
        checking.check(request, whole=True)
    assert str(raised.value).splitlines() == [
        "OutputDataConfig.S3OutputPath is missing; CreateTrainingJob requires it",
        "RoleArn is missing; CreateTrainingJob requires it",
    ]


def test_all_problems_are_told_at_once():
    with pytest.raises(SubmitError) as raised:
        checking.check({"RoleArn": 5, "Colour": "red"}, whole=False)
    assert len(str(raised.value).splitlines()) == 2
