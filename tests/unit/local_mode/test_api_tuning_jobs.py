"""The operations on tuning jobs: their errors, and the members of their answers."""

import pytest

from local_mode.api.tuning_jobs import TuningOperations
from local_mode.api.wire import ApiError
from local_mode.tuning.service import Tuning
from tests.contract.lab import eventually
from tests.unit.local_mode.fake_jobs import CONFIG, FakeJobs, changed

CREATE, LIST = "CreateHyperParameterTuningJob", "ListHyperParameterTuningJobs"


@pytest.fixture
def jobs(tmp_path):
    return FakeJobs(tmp_path)


@pytest.fixture
def ask(tmp_path, jobs):
    tuning = Tuning(root=tmp_path, jobs=jobs, region="eu-west-1", note=lambda _: None)
    yield TuningOperations(tuning).answer
    assert tuning.close(20) == []


def refusal(ask, operation, request):
    with pytest.raises(ApiError) as caught:
        ask(operation, request)
    return caught.value


def named(name):
    return {"HyperParameterTuningJobName": name}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (named("x" * 33), "Member must have length less than or equal to 32"),
        ({f"{CONFIG}.Strategy": "Grid"}, "CategoricalParameterRanges only"),
        ({"TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions": [{"Name": "accuracy", "Regex": "("}]},
         "which is no regular expression"),
    ],
)  # fmt: skip
def test_request_that_cannot_be_done_is_refused_and_leaves_nothing(ask, changes, words):
    error = refusal(ask, CREATE, changed(changes))

    assert error.code == "ValidationException"
    assert words in error.message
    assert ask(LIST, {}) == {"HyperParameterTuningJobSummaries": []}


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeHyperParameterTuningJob",
        "StopHyperParameterTuningJob",
        "DeleteHyperParameterTuningJob",
        "ListTrainingJobsForHyperParameterTuningJob",
    ],
)
def test_unknown_tuning_job_is_not_found_in_the_words_of_aws(ask, operation):
    error = refusal(ask, operation, named("none"))

    assert error.code == "ResourceNotFound"
    assert error.message == "Amazon SageMaker can't find a tuning job called none. Type another name."


def test_name_of_a_tuning_job_is_taken_until_it_is_deleted(ask, jobs):
    arn = ask(CREATE, changed({}))["HyperParameterTuningJobArn"]
    assert arn == "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/tune"
    error = refusal(ask, CREATE, changed({}))
    assert error.code == "ResourceInUse"
    assert error.message == "A hyperparameter tuning job with the name, tune, already exists. Choose a different name."
    assert "is in status InProgress" in refusal(ask, "DeleteHyperParameterTuningJob", named("tune")).message

    ask("StopHyperParameterTuningJob", named("tune"))
    eventually(lambda: status(ask) == "Stopped")
    assert "is in status Stopped" in refusal(ask, "StopHyperParameterTuningJob", named("tune")).message
    ask("DeleteHyperParameterTuningJob", named("tune"))

    assert refusal(ask, "DescribeHyperParameterTuningJob", named("tune")).code == "ResourceNotFound"
    assert ask(CREATE, changed({}))["HyperParameterTuningJobArn"] == arn


def test_list_has_a_summary_of_each_that_the_filters_leave(ask, jobs):
    for name in ("cat", "ant", "bee"):
        ask(CREATE, changed(named(name)))
    ask("StopHyperParameterTuningJob", named("bee"))
    eventually(lambda: status(ask, "bee") == "Stopped")

    page = ask(LIST, {"MaxResults": 2})
    assert names(page) == ["ant", "bee"]
    assert names(ask(LIST, {"MaxResults": 2, "NextToken": page["NextToken"]})) == ["cat"]
    assert names(ask(LIST, {"SortBy": "CreationTime", "SortOrder": "Descending"})) == ["bee", "ant", "cat"]
    assert names(ask(LIST, {"StatusEquals": "Stopped"})) == ["bee"]
    assert names(ask(LIST, {"NameContains": "A"})) == ["ant", "cat"]
    (shown,) = ask(LIST, {"NameContains": "cat"})["HyperParameterTuningJobSummaries"]
    assert shown["Strategy"] == "Bayesian"
    assert shown["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
    assert shown["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 2, "Failed": 0}
    assert "TrainingJobDefinition" not in shown


def test_training_jobs_are_listed_by_value_without_those_that_have_none(ask, jobs):
    ask(CREATE, changed({f"{CONFIG}.ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 4}}))
    eventually(lambda: len(jobs.running()) == 4)
    first, second, third, fourth = jobs.running()
    for name, value in ((first, 0.2), (second, 0.9), (third, 0.5)):
        jobs.end(name, value)
    eventually(lambda: len(trials(ask, StatusEquals="Completed")) == 3)

    by_value = {"SortBy": "FinalObjectiveMetricValue"}
    assert trials(ask, **by_value) == [first, third, second]
    page = listed(ask, **by_value, SortOrder="Descending", MaxResults=2)
    assert [each["TrainingJobName"] for each in page["TrainingJobSummaries"]] == [second, third]
    assert trials(ask, **by_value, SortOrder="Descending", MaxResults=2, NextToken=page["NextToken"]) == [first]
    assert trials(ask) == sorted([first, second, third, fourth])
    assert trials(ask, StatusEquals="InProgress") == [fourth]
    assert "Value" not in page["TrainingJobSummaries"][0]


def listed(ask, **fields):
    return ask("ListTrainingJobsForHyperParameterTuningJob", {**named("tune"), **fields})


def trials(ask, **fields):
    return [each["TrainingJobName"] for each in listed(ask, **fields)["TrainingJobSummaries"]]


def names(page):
    return [each["HyperParameterTuningJobName"] for each in page["HyperParameterTuningJobSummaries"]]


def status(ask, name="tune"):
    return ask("DescribeHyperParameterTuningJob", named(name))["HyperParameterTuningJobStatus"]
