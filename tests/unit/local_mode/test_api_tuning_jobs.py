"""Contract 4.7: what a CreateHyperParameterTuningJob request has to hold, and tuning jobs that are not there."""

import copy

import pytest

from local_mode.api import tuning_jobs
from local_mode.api.wire import ApiError

REQUEST = {
    "HyperParameterTuningJobName": "tune",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "accuracy"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [
                {"Name": "rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
            ],
            "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ['"adam"', '"sgd"']}],
        },
    },
    "TrainingJobDefinition": {
        "StaticHyperParameters": {"epochs": "9"},
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "accuracy", "Regex": "a=(.*)"}],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    },
}
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
INTEGERS = f"{CONFIG}.ParameterRanges.IntegerParameterRanges"
CONTINUOUS = f"{CONFIG}.ParameterRanges.ContinuousParameterRanges"
ONLY_CATEGORICAL = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}]}
GONE = object()


def changed(changes):
    request = copy.deepcopy(REQUEST)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = request
        for name in parents:
            place = place[name]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return request


def refusal(operation, request):
    with pytest.raises(ApiError) as caught:
        tuning_jobs.answer(operation, request)
    return caught.value


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {f"{CONFIG}.Strategy": "Random", f"{CONFIG}.RandomSeed": 3},
        {f"{CONFIG}.Strategy": "Hyperband"},  # MaxResource is inferred from the hyperparameter epochs
        {f"{CONFIG}.Strategy": "Grid", f"{CONFIG}.ParameterRanges": ONLY_CATEGORICAL,
         f"{CONFIG}.ResourceLimits": {"MaxParallelTrainingJobs": 1}},
        {CONTINUOUS: [{"Name": "m", "MinValue": "0.5", "MaxValue": "0.99", "ScalingType": "ReverseLogarithmic"}]},
    ],
)  # fmt: skip
def test_request_that_sagemaker_takes_is_refused_for_the_missing_engine_alone(changes):
    error = refusal("CreateHyperParameterTuningJob", changed(changes))

    assert (error.code, error.message) == ("ValidationException", "local_mode does not tune hyperparameters yet.")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"HyperParameterTuningJobName": "x" * 33}, "Member must have length less than or equal to 32"),
        ({DEFINITION: GONE}, "either TrainingJobDefinition or TrainingJobDefinitions"),
        ({"TrainingJobDefinitions": [REQUEST[DEFINITION]]}, "either TrainingJobDefinition or TrainingJobDefinitions"),
        ({DEFINITION: GONE, "TrainingJobDefinitions": [REQUEST[DEFINITION]]}, "has no DefinitionName"),
        ({f"{CONFIG}.HyperParameterTuningJobObjective": GONE}, "has no objective metric"),
        ({f"{DEFINITION}.AlgorithmSpecification.MetricDefinitions": []}, "'accuracy' is not among"),
        ({f"{CONFIG}.ParameterRanges": {}}, "nothing to tune"),
        ({f"{DEFINITION}.StaticHyperParameters": {"rate": "1"}}, "'rate' is given 2 times"),
        ({f"{DEFINITION}.StaticHyperParameters": {f"p{n}": "1" for n in range(98)}}, "more than 100"),
        ({INTEGERS: [{"Name": f"p{n}", "MinValue": "1", "MaxValue": "2"} for n in range(29)]}, "at most 30"),
        ({INTEGERS: [{"Name": "depth", "MinValue": "1.5", "MaxValue": "2"}]}, "must be numbers"),
        ({INTEGERS: [{"Name": "depth", "MinValue": "3", "MaxValue": "2"}]}, "at most MaxValue"),
        ({INTEGERS: [{"Name": "d", "MinValue": "0", "MaxValue": "2", "ScalingType": "Logarithmic"}]}, "above 0"),
        ({INTEGERS: [{"Name": "d", "MinValue": "0", "MaxValue": "0", "ScalingType": "ReverseLogarithmic"}]},
         "is for continuous"),
        ({CONTINUOUS: [{"Name": "d", "MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}]},
         "within 0 <= x < 1"),
        ({CONTINUOUS: [{"Name": "d", "MinValue": "nan", "MaxValue": "1"}]}, "at most MaxValue"),
        ({f"{CONFIG}.Strategy": "Grid"}, "CategoricalParameterRanges only"),
        ({f"{CONFIG}.Strategy": "Grid", f"{CONFIG}.ParameterRanges": ONLY_CATEGORICAL}, "the grid has 2 points"),
        ({f"{CONFIG}.Strategy": "Hyperband", f"{CONFIG}.TrainingJobEarlyStoppingType": "Auto"}, "must be Off"),
        ({f"{CONFIG}.Strategy": "Hyperband", f"{DEFINITION}.StaticHyperParameters": {}}, "needs MaxResource"),
        ({f"{CONFIG}.Strategy": "Hyperband", f"{DEFINITION}.StaticHyperParameters": {"epochs": "20001"}},
         "at most 20000"),
        ({f"{CONFIG}.StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 3}}}, "for Hyperband only"),
        ({f"{CONFIG}.ParameterRanges": {"AutoParameters": [{"Name": "a", "ValueHint": "1"}]}}, "need Autotune"),
        ({f"{DEFINITION}.ResourceConfig": GONE}, "neither ResourceConfig nor"),
    ],
)  # fmt: skip
def test_request_that_breaks_a_rule_is_told_so(changes, words):
    error = refusal("CreateHyperParameterTuningJob", changed(changes))

    assert error.code == "ValidationException"
    assert words in error.message


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeHyperParameterTuningJob",
        "StopHyperParameterTuningJob",
        "DeleteHyperParameterTuningJob",
        "ListTrainingJobsForHyperParameterTuningJob",
    ],
)
def test_unknown_tuning_job_is_not_found_in_the_words_of_aws(operation):
    error = refusal(operation, {"HyperParameterTuningJobName": "none"})

    assert error.code == "ResourceNotFound"
    assert error.message == "Amazon SageMaker can't find a tuning job called none. Type another name."


def test_list_of_tuning_jobs_is_empty():
    assert tuning_jobs.answer("ListHyperParameterTuningJobs", {}) == {"HyperParameterTuningJobSummaries": []}
