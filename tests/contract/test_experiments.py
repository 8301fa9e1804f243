"""SageMaker's classic Experiments API, as a boto3 client sees it; a training job is a trial component."""

import time

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import BUCKET, Server
from tests.contract.tuning import SCORE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(scope="module")
def server(folder):
    made = Server.start(folder, "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    made.client("s3").put_object(Bucket=BUCKET, Key="in/a", Body=b"alpha")
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture(scope="module", autouse=True)
def plan(server):
    """An experiment with a trial, and a training job in it."""
    sagemaker = server.client("sagemaker")
    sagemaker.create_experiment(ExperimentName="exp", Description="what for", Tags=[{"Key": "team", "Value": "blue"}])
    sagemaker.create_trial(ExperimentName="exp", TrialName="first", DisplayName="The-first")
    config = {"ExperimentName": "exp", "TrialName": "first", "TrialComponentDisplayName": "Training"}
    server.create("job", ["learn", 3], algorithm={"MetricDefinitions": SCORE}, ExperimentConfig=config,
                  channels={"train": f"s3://{BUCKET}/in"}, mode="File")  # fmt: skip
    assert server.ended("job")["TrainingJobStatus"] == "Completed"


def refused(code, act, **arguments):
    with pytest.raises(ClientError) as caught:
        act(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    return caught.value.response["Error"]["Message"]


def found(sagemaker, resource="ExperimentTrialComponent", **arguments):
    return sagemaker.search(Resource=resource, **arguments)["Results"]


def equals(name, value):
    return {"Filters": [{"Name": name, "Operator": "Equals", "Value": value}]}


def test_training_job_is_a_component_with_parameters_metrics_artifacts_and_status(server, sagemaker):
    component = sagemaker.describe_trial_component(TrialComponentName="job-aws-training-job")
    job = server.describe("job")

    assert component["DisplayName"] == "Training"
    assert component["Source"] == {"SourceArn": job["TrainingJobArn"], "SourceType": "SageMakerTrainingJob"}
    assert component["Status"]["PrimaryStatus"] == "Completed"
    assert (component["StartTime"], component["EndTime"]) == (job["TrainingStartTime"], job["TrainingEndTime"])
    assert component["Parameters"]["act"] == {"StringValue": '["learn", 3]'}
    assert component["Parameters"]["SageMaker.InstanceCount"] == {"NumberValue": 1.0}
    assert component["InputArtifacts"] == {"train": {"Value": f"s3://{BUCKET}/in"}}
    assert component["OutputArtifacts"] == {
        "SageMaker.ModelArtifact": {"Value": job["ModelArtifacts"]["S3ModelArtifacts"]}
    }
    (metric,) = component["Metrics"]
    assert (metric["MetricName"], metric["Count"], metric["SourceArn"]) == ("score", 3, job["TrainingJobArn"])
    numbers = [metric[key] for key in ("Min", "Max", "Last", "Avg")]
    assert numbers == [0.266667, 0.8, 0.8, pytest.approx(0.533333, abs=1e-6)]


def test_failure_of_a_job_is_its_components_status(server, sagemaker):
    server.create("bad", ["end", 3, "why"], ExperimentConfig={"ExperimentName": "exp", "TrialName": "first"})
    reason = server.ended("bad")["FailureReason"]
    status = sagemaker.describe_trial_component(TrialComponentName="bad-aws-training-job")["Status"]

    assert status["PrimaryStatus"] == "Failed"
    assert reason in status["Message"]


def test_job_that_names_an_experiment_alone_gets_a_trial_of_its_own(server, sagemaker):
    sagemaker.create_experiment(ExperimentName="alone")
    server.create("solo", ["learn", 1], ExperimentConfig={"ExperimentName": "alone"})
    server.ended("solo")
    (trial,) = sagemaker.list_trials(ExperimentName="alone")["TrialSummaries"]
    (component,) = sagemaker.list_trial_components(TrialName=trial["TrialName"])["TrialComponentSummaries"]

    assert component["TrialComponentName"] == "solo-aws-training-job"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"ExperimentName": "none"}, "Experiment 'arn:aws:sagemaker:us-east-1:123456789012:experiment/none' does not"),
        ({"TrialName": "none"}, "experiment-trial/none' does not exist."),
        ({"TrialName": "first", "RunName": "none"}, "experiment-trial-component/none' does not exist."),
    ],
)  # fmt: skip
def test_job_whose_experiment_is_not_there_is_refused_and_not_begun(server, sagemaker, config, text):
    assert text in refused("ResourceNotFound", lambda: server.create("never", ["learn"], ExperimentConfig=config))
    refused("ValidationException", sagemaker.describe_training_job, TrainingJobName="never")


def test_name_that_is_taken_is_refused_as_sdks_expect(sagemaker):
    text = refused("ValidationException", sagemaker.create_experiment, ExperimentName="exp")
    assert "Experiment with name (exp) already exists." in text
    assert "already exists" in refused("ValidationException", sagemaker.create_trial, ExperimentName="exp",
                                       TrialName="first")  # fmt: skip


def test_requests_are_checked_against_the_service_model(sagemaker):
    text = refused("ValidationException", sagemaker.create_experiment, ExperimentName="-bad name")
    assert "'experimentName' failed to satisfy constraint" in text
    text = refused("ValidationException", sagemaker.create_trial, TrialName="t")
    assert "Value null at 'experimentName' failed to satisfy constraint: Member must not be null" in text


def test_experiments_and_trials_are_described_changed_and_listed(sagemaker):
    sagemaker.update_experiment(ExperimentName="exp", DisplayName="Exp", Description="other")
    described = sagemaker.describe_experiment(ExperimentName="exp")
    assert (described["DisplayName"], described["Description"]) == ("Exp", "other")
    assert described["LastModifiedTime"] > described["CreationTime"]
    sagemaker.update_trial(TrialName="first", DisplayName="First")
    trial = sagemaker.describe_trial(TrialName="first")
    assert (trial["ExperimentName"], trial["DisplayName"]) == ("exp", "First")
    listed = sagemaker.list_experiments(SortBy="Name", SortOrder="Ascending", MaxResults=100)["ExperimentSummaries"]
    names = [each["ExperimentName"] for each in listed]
    assert names == sorted(names)
    assert "exp" in names


def test_lists_come_in_pages_newest_first(sagemaker):
    for number in range(5):
        sagemaker.create_trial_component(TrialComponentName=f"page-{number}")
    first = sagemaker.list_trial_components(MaxResults=3)
    second = sagemaker.list_trial_components(MaxResults=2, NextToken=first["NextToken"])
    names = [each["TrialComponentName"] for page in (first, second) for each in page["TrialComponentSummaries"]]

    assert names == [f"page-{number}" for number in (4, 3, 2, 1, 0)]
    assert "NextToken" in refused("ValidationException", sagemaker.list_trial_components, NextToken="none of ours")


def test_component_is_changed_member_by_member(sagemaker):
    sagemaker.create_trial_component(
        TrialComponentName="hand", DisplayName="By-hand", Status={"PrimaryStatus": "InProgress"},
        Parameters={"a": {"NumberValue": 1}, "b": {"StringValue": "x"}},
    )  # fmt: skip
    sagemaker.update_trial_component(
        TrialComponentName="hand", Parameters={"c": {"NumberValue": 2}}, ParametersToRemove=["a"],
        Status={"PrimaryStatus": "Completed"}, OutputArtifacts={"model": {"Value": "s3://b/m"}},
    )  # fmt: skip
    described = sagemaker.describe_trial_component(TrialComponentName="hand")

    assert described["Parameters"] == {"b": {"StringValue": "x"}, "c": {"NumberValue": 2.0}}
    assert described["Status"] == {"PrimaryStatus": "Completed"}
    assert described["OutputArtifacts"] == {"model": {"Value": "s3://b/m"}}


def test_metrics_that_are_put_are_summed_up(server, sagemaker):
    sagemaker.create_trial_component(TrialComponentName="metrics")
    metrics, now = server.client("sagemaker-metrics"), time.time()
    for step, value in enumerate((0.5, 1.5)):
        point = {"MetricName": "loss", "Timestamp": now + step, "Step": step, "Value": value}
        metrics.batch_put_metrics(TrialComponentName="metrics", MetricData=[point])
    (found_one,) = sagemaker.describe_trial_component(TrialComponentName="metrics")["Metrics"]

    assert [found_one[key] for key in ("Count", "Min", "Max", "Avg", "Last", "StdDev")] == [2, 0.5, 1.5, 1.0, 1.5, 0.5]
    with pytest.raises(ClientError, match="does not exist"):
        metrics.batch_put_metrics(TrialComponentName="none", MetricData=[point])
    with pytest.raises(ClientError, match="'metricData' failed to satisfy constraint"):
        metrics.batch_put_metrics(TrialComponentName="metrics", MetricData=[])


def test_component_belongs_to_trials_and_can_be_taken_out_of_them(sagemaker):
    sagemaker.create_trial(ExperimentName="exp", TrialName="second")
    sagemaker.create_trial_component(TrialComponentName="shared")
    answer = sagemaker.associate_trial_component(TrialName="second", TrialComponentName="shared")
    assert answer["TrialArn"].endswith(":experiment-trial/second")
    sagemaker.associate_trial_component(TrialName="first", TrialComponentName="shared")
    listed = sagemaker.list_trials(TrialComponentName="shared")["TrialSummaries"]
    assert {each["TrialName"] for each in listed} == {"first", "second"}

    text = refused("ValidationException", sagemaker.delete_trial_component, TrialComponentName="shared")
    assert "belongs to a trial; disassociate it first" in text
    text = refused("ValidationException", sagemaker.delete_trial, TrialName="second")
    assert "has trial components; disassociate them first" in text
    assert "has trials" in refused("ValidationException", sagemaker.delete_experiment, ExperimentName="exp")
    for trial in ("first", "second"):
        sagemaker.disassociate_trial_component(TrialName=trial, TrialComponentName="shared")
    sagemaker.delete_trial_component(TrialComponentName="shared")
    sagemaker.delete_trial(TrialName="second")
    refused("ResourceNotFound", sagemaker.describe_trial, TrialName="second")
    refused("ResourceNotFound", sagemaker.associate_trial_component, TrialName="first", TrialComponentName="shared")


def test_job_outside_of_experiments_becomes_a_component_of_a_trial_later_on(server, sagemaker):
    server.create("outside", ["learn", 2], algorithm={"MetricDefinitions": SCORE})
    assert server.ended("outside")["TrainingJobStatus"] == "Completed"
    name = "outside-aws-training-job"
    refused("ResourceNotFound", sagemaker.associate_trial_component, TrialName="none", TrialComponentName=name)
    sagemaker.create_trial(ExperimentName="exp", TrialName="later")
    sagemaker.associate_trial_component(TrialName="later", TrialComponentName=name)
    described = sagemaker.describe_trial_component(TrialComponentName=name)
    assert described["Status"]["PrimaryStatus"] == "Completed"
    assert [metric["MetricName"] for metric in described["Metrics"]] == ["score"]
    (one,) = found(sagemaker, SearchExpression=equals("Parents.TrialName", "later"))
    assert one["TrialComponent"]["Source"]["SourceArn"].endswith(":training-job/outside")
    sagemaker.disassociate_trial_component(TrialName="later", TrialComponentName=name)
    sagemaker.delete_trial_component(TrialComponentName=name)
    sagemaker.delete_trial(TrialName="later")
    text = refused(
        "ResourceNotFound", sagemaker.associate_trial_component,
        TrialName="first", TrialComponentName="nobody-aws-training-job",
    )  # fmt: skip
    assert "nobody-aws-training-job" in text


def test_components_are_searched_by_experiment_parameter_and_metric(sagemaker):
    (one,) = found(sagemaker, SearchExpression={
        "Filters": [
            {"Name": "Parents.ExperimentName", "Operator": "Equals", "Value": "exp"},
            {"Name": "Metrics.score.Max", "Operator": "GreaterThan", "Value": "0.7"},
        ]
    })  # fmt: skip
    component = one["TrialComponent"]
    assert component["TrialComponentName"] == "job-aws-training-job"
    assert component["Parents"] == [{"TrialName": "first", "ExperimentName": "exp"}]
    assert found(sagemaker, SearchExpression=equals("Parameters.SageMaker.InstanceType", "ml.none")) == []
    assert "Unknown property name: Wrong" in refused(
        "ValidationException", sagemaker.search, Resource="ExperimentTrialComponent",
        SearchExpression=equals("Wrong", "1"),
    )  # fmt: skip


def test_jobs_experiments_and_trials_are_searched_too(sagemaker):
    (job,) = found(sagemaker, "TrainingJob", SearchExpression=equals("TrainingJobName", "job"))
    assert job["TrainingJob"]["ExperimentConfig"]["TrialName"] == "first"
    (experiment,) = found(sagemaker, "Experiment", SearchExpression=equals("Tags.team", "blue"))
    assert experiment["Experiment"]["ExperimentName"] == "exp"
    (trial,) = found(sagemaker, "ExperimentTrial", SearchExpression=equals("TrialName", "first"))
    assert trial["Trial"]["ExperimentName"] == "exp"


def test_search_is_ordered_and_comes_in_pages(sagemaker):
    for number in (2, 10, 1):
        sagemaker.create_trial_component(
            TrialComponentName=f"sort-{number}", Parameters={"size": {"NumberValue": number}}
        )
    wanted = {"Filters": [{"Name": "TrialComponentName", "Operator": "Contains", "Value": "sort-"}]}
    asked = {"SearchExpression": wanted, "SortBy": "Parameters.size", "SortOrder": "Ascending", "MaxResults": 2,
             "Resource": "ExperimentTrialComponent"}  # fmt: skip
    pages = list(sagemaker.get_paginator("search").paginate(**asked))

    names = [each["TrialComponent"]["TrialComponentName"] for page in pages for each in page["Results"]]
    assert (len(pages), names) == (2, ["sort-1", "sort-2", "sort-10"])


def test_tags_of_experiments_are_added_listed_and_removed(sagemaker):
    arn = sagemaker.describe_experiment(ExperimentName="exp")["ExperimentArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    assert {tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]} == {"team", "more"}
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["more"])
    assert [tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]] == ["team"]
    refused("ResourceNotFound", sagemaker.list_tags, ResourceArn=f"{arn}-none")


def test_component_outlives_its_job(server, sagemaker):
    server.create("gone", ["learn", 3], algorithm={"MetricDefinitions": SCORE},
                  ExperimentConfig={"ExperimentName": "exp", "TrialName": "first"})  # fmt: skip
    server.ended("gone")
    before = sagemaker.describe_trial_component(TrialComponentName="gone-aws-training-job")
    sagemaker.delete_training_job(TrainingJobName="gone")
    after = sagemaker.describe_trial_component(TrialComponentName="gone-aws-training-job")

    same = ("Parameters", "Metrics", "Status", "OutputArtifacts", "EndTime")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
