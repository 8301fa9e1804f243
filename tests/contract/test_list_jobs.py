"""Sections 4.1 and 4.2 of the platform contract at the endpoint: jobs listed, filtered, sorted and described.

Three jobs for all rows: alpha-1 completed, Beta-2 failed, alpha-3 stopped before its program was ready.
"""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import BUCKET, Server

NAMES = ["alpha-1", "Beta-2", "alpha-3"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"), "--stop-grace", "0.1")
    made.client("s3").create_bucket(Bucket=BUCKET)
    made.create("alpha-1", ["end", 0], Tags=[{"Key": "team", "Value": "vision"}])
    made.create("Beta-2", ["end", 3, "why"])
    made.create("alpha-3", ["ignore_stop"])
    made.client("sagemaker").stop_training_job(TrainingJobName="alpha-3")
    for name in NAMES:
        made.ended(name)
    yield made
    assert made.end() == 0


@pytest.fixture
def listed(server):
    def names(**filters):
        answer = server.client("sagemaker").list_training_jobs(**filters)
        return [job["TrainingJobName"] for job in answer["TrainingJobSummaries"]]

    return names


@pytest.fixture
def refusal(server):
    def text(**filters):
        with pytest.raises(ClientError, match=".") as caught:
            server.client("sagemaker").list_training_jobs(**filters)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        return str(caught.value)

    return text


def row(statement, grade="D", section="4.1"):
    return pytest.mark.contract(section, grade, statement)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        pytest.param({}, NAMES, marks=row("List is sorted by CreationTime, ascending, unless asked otherwise")),
        pytest.param({"SortOrder": "Descending"}, NAMES[::-1], marks=row("List: SortOrder Descending turns the order")),
        pytest.param(
            {"SortBy": "Name"}, ["Beta-2", "alpha-1", "alpha-3"], marks=row("List: SortBy Name sorts by name")
        ),
        pytest.param(
            {"SortBy": "Status"}, ["alpha-1", "Beta-2", "alpha-3"], marks=row("List: SortBy Status sorts by status")
        ),
        pytest.param({"NameContains": "lpha"}, ["alpha-1", "alpha-3"], marks=row("List: NameContains finds a part")),
        pytest.param({"NameContains": "nobody"}, [], marks=row("List: a filter that nothing passes gives no error")),
        pytest.param({"StatusEquals": "Failed"}, ["Beta-2"], marks=row("List: StatusEquals finds failed jobs")),
        pytest.param({"StatusEquals": "Stopped"}, ["alpha-3"], marks=row("List: StatusEquals finds stopped jobs")),
        pytest.param({"StatusEquals": "InProgress"}, [], marks=row("List: ended jobs are not InProgress")),
        pytest.param({"MaxResults": 1}, ["alpha-1"], marks=row("List: MaxResults bounds a page")),
    ],
)
def test_list_gives_these_jobs_in_this_order(listed, filters, names):
    assert listed(**filters) == names


@row("List: {bound} is exclusive and keeps what lies on its side")
@pytest.mark.parametrize(
    ("bound", "names"),
    [("CreationTimeAfter", ["Beta-2", "alpha-3"]), ("CreationTimeBefore", [])],
)
def test_list_is_bounded_by_creation_time(server, listed, bound, names):
    first = server.describe("alpha-1")["CreationTime"]
    second = server.describe("Beta-2")["CreationTime"]
    at = first + (second - first) / 2 if bound.endswith("After") else first - timedelta(seconds=1)

    assert listed(**{bound: at}) == names


@row("List: LastModifiedTimeBefore before all jobs gives none")
def test_list_is_bounded_by_the_last_change(server, listed):
    first = server.describe("alpha-1")["CreationTime"] - timedelta(seconds=1)
    assert listed(LastModifiedTimeBefore=first) == []


@row("List: {filters} is refused")
@pytest.mark.parametrize(
    "filters",
    [{"MaxResults": 0}, {"MaxResults": 101}, {"SortBy": "Age"}, {"SortOrder": "Up"}, {"StatusEquals": "Done"}],
)
def test_list_refuses_what_the_model_does_not_allow(refusal, filters):
    assert "validation error detected" in refusal(**filters)


@row("a summary has name, ARN, times and status")
def test_summary_has_its_members(server):
    summary = server.client("sagemaker").list_training_jobs(MaxResults=1)["TrainingJobSummaries"][0]
    wanted = {"TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime"}
    assert wanted | {"TrainingJobStatus"} <= set(summary)


@row("Describe answers every member that the API model requires", section="4.2")
@pytest.mark.parametrize("name", NAMES)
def test_describe_has_what_the_model_requires(server, name):
    sagemaker = server.client("sagemaker")
    shape = sagemaker.meta.service_model.operation_model("DescribeTrainingJob").output_shape
    assert set(shape.required_members) <= set(server.describe(name))


@row("Describe tells times as timestamps with a time zone", section="4.2")
def test_times_are_timestamps(server):
    described = server.describe("alpha-1")
    assert all(described[f"{name}Time"].tzinfo for name in ("Creation", "TrainingStart", "TrainingEnd"))


@row("Describe does not answer the request's Tags; ListTags does", section="4.2")
def test_tags_are_listed_and_not_described(server):
    described = server.describe("alpha-1")
    tags = server.client("sagemaker").list_tags(ResourceArn=described["TrainingJobArn"])["Tags"]
    assert "Tags" not in described
    assert tags == [{"Key": "team", "Value": "vision"}]


@row("the ARN has the job's name in lower case", "O", "1.2")
def test_arn_is_in_lower_case(server):
    assert server.describe("Beta-2")["TrainingJobArn"].endswith(":training-job/beta-2")


@row("Describe finds a name in its own case alone", "U", "4.1")
def test_name_of_another_case_is_unknown(server):
    with pytest.raises(ClientError, match="Requested resource not found"):
        server.describe("beta-2")


@row("FailureReason is described of failed jobs alone", section="4.3")
def test_reason_is_described_of_failed_jobs_alone(server):
    reasons = {name: server.describe(name).get("FailureReason") for name in NAMES}
    assert reasons == {"alpha-1": None, "Beta-2": "AlgorithmError: why, exit code: 3", "alpha-3": None}


@row("the waiter for the end of a job sees an ended one", "C", "4.2")
@pytest.mark.parametrize("name", ["alpha-1", "alpha-3"])
def test_waiter_sees_the_end(server, name):
    waiter = server.client("sagemaker").get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 1})


@row("the log group is /aws/sagemaker/TrainingJobs, with one stream a job and host", section="4.6")
def test_every_job_has_one_stream(server):
    streams = server.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    prefixes = sorted(stream["logStreamName"].rpartition("-")[0] for stream in streams)
    assert {"alpha-1/algo-1", "Beta-2/algo-1"} <= set(prefixes)
    assert len(prefixes) == len(set(prefixes))


@row("CloudWatch has each line of the log as one event, in its order", section="4.6")
def test_every_line_is_an_event(server):
    assert server.log_lines("Beta-2") == ["ending"]
