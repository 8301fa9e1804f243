"""UpdateTrainingJob, as a boto3 client sees it."""

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually

pytestmark = pytest.mark.contract("endpoint", "U")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "5")
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture(scope="module")
def running(server, sagemaker):
    """A job whose program runs until it is stopped."""
    server.create("running", ["wait_for_stop"], ProfilerConfig={"S3OutputPath": f"s3://{BUCKET}/profile"})
    eventually(lambda: server.describe("running")["SecondaryStatus"] == "Training")
    yield "running"
    sagemaker.stop_training_job(TrainingJobName="running")
    server.ended("running")


def test_what_changes_in_a_running_job_is_recorded_beside_what_does_not(server, sagemaker, running):
    before = server.describe(running)
    answer = sagemaker.update_training_job(
        TrainingJobName=running,
        ResourceConfig={"KeepAlivePeriodInSeconds": 600},
        ProfilerConfig={"ProfilingIntervalInMilliseconds": 1000},
        RemoteDebugConfig={"EnableRemoteDebug": True},
    )

    after = server.describe(running)
    assert answer["TrainingJobArn"] == before["TrainingJobArn"]
    assert after["ResourceConfig"] == {**before["ResourceConfig"], "KeepAlivePeriodInSeconds": 600}
    assert after["ProfilerConfig"] == {
        "S3OutputPath": f"s3://{BUCKET}/profile",
        "ProfilingIntervalInMilliseconds": 1000,
    }
    assert after["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert after["LastModifiedTime"] > before["LastModifiedTime"]
    assert after["TrainingJobStatus"] == "InProgress"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Invalid UpdateTrainingJobRequest, the request cannot be empty"),
        ({"ResourceConfig": {"KeepAlivePeriodInSeconds": 21601}}, "less than or equal to 21600"),
        ({"ResourceConfig": {}}, "keepAlivePeriodInSeconds.*must not be null"),
        ({"ProfilerRuleConfigurations": [{"RuleConfigurationName": "r", "RuleEvaluatorImage": "i"}]}, "rules yet"),
    ],
)
def test_change_that_cannot_be_is_refused(sagemaker, running, fields, words):
    with pytest.raises(ClientError, match=words) as refused:
        sagemaker.update_training_job(TrainingJobName=running, **fields)

    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_job_that_has_ended_does_not_change_any_more(server, sagemaker):
    server.create("ended", ["end", 0])
    before = server.ended("ended")
    with pytest.raises(ClientError, match="rejected because the training job is in status Completed"):
        sagemaker.update_training_job(TrainingJobName="ended", RemoteDebugConfig={"EnableRemoteDebug": True})

    assert "RemoteDebugConfig" not in server.describe("ended")
    assert server.describe("ended")["LastModifiedTime"] == before["LastModifiedTime"]


def test_unknown_job_cannot_be_changed(sagemaker):
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.update_training_job(TrainingJobName="none", ResourceConfig={"KeepAlivePeriodInSeconds": 60})
