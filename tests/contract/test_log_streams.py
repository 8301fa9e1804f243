"""Contract 4.6: log streams in CloudWatch, live and long after, as the SDKs and `aws logs tail` read them."""

import signal
import time

import pytest

from local_mode.page.files import left
from local_mode.pytest_plugin import LocalSageMaker
from tests.contract.endpoint import BUCKET, LOGS, Server
from tests.contract.lab import eventually

pytestmark = pytest.mark.contract("4.6", "D")


@pytest.fixture
def start(tmp_path):
    """Starts endpoints in one folder, one after the other; none outlives its test."""
    made = []

    def start_one():
        if made:
            made[-1].end(signal.SIGKILL)
        made.append(Server.start(tmp_path))
        made[-1].client("s3").create_bucket(Bucket=BUCKET)
        return made[-1]

    yield start_one
    for server in made:
        server.end(signal.SIGKILL)
        assert "Traceback" not in server.log.read_text()


def test_log_streams_of_ended_jobs_are_as_they_were_after_kill_and_restart(start):
    server = start()
    lines = [[1, "one\rtwo\n"], [1, "\n"], [1, "\u00c3\u00a9 three\n", 50], [2, "no end"]]
    server.create("said", ["say", *lines])
    server.ended("said")
    before = streams(server, "said/")
    server.create("cut", ["wait_for_stop"])
    eventually(lambda: server.log_lines("cut") == ["ready"])

    server = start()

    folder = server.root / "jobs" / "said"
    shown = LocalSageMaker(url="", region="", environment={}, root=server.root).log("said")
    assert shown == (folder / "logs" / "algo-1.log").read_bytes().decode().replace("\r", "\n")
    assert [item.name for item in left(folder) if item.name.startswith("logs/")] == ["logs/algo-1.log"]
    assert streams(server, "said/") == before
    (events,) = (events for _, _, events in before)
    assert [message for _, message in events[:3]] == ["one\rtwo", " ", "\u00e9 three"]
    assert len(events) == 53
    assert events[-1][1] == "no end"  # and not the verdict
    (cut,) = streams(server, "cut/")  # of a job that ran when its service was killed
    assert [message for _, message in cut[2]] == ["ready"]
    logs = server.client("logs")
    found = logs.filter_log_events(logGroupName=LOGS, logStreamNamePrefix="sai", filterPattern="three")["events"]
    assert len(found) == 50
    assert logs.filter_log_events(logGroupName=LOGS, startTime=int(time.time() * 1000) + 60_000)["events"] == []
    everything = logs.describe_log_streams(logGroupName=LOGS)["logStreams"]
    assert [item["logStreamName"].partition("/")[0] for item in everything] == ["cut", "said"]
    assert logs.describe_log_groups()["logGroups"][0]["logGroupName"] == LOGS


def streams(server, prefix):
    """Names, times and events of log streams, as `fit(logs=True)` reads them."""
    logs = server.client("logs")
    found = logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=prefix, orderBy="LogStreamName")
    seen = []
    for stream in found["logStreams"]:
        name = stream["logStreamName"]
        events = logs.get_log_events(logGroupName=LOGS, logStreamName=name, startFromHead=True)["events"]
        spoken = [(event["timestamp"], event["message"]) for event in events]
        seen.append((name, [stream.get(key) for key in ("firstEventTimestamp", "lastEventTimestamp")], spoken))
    return seen


def test_log_streams_of_each_attempt_come_back_apart(start):
    server = start()
    server.create(
        "twice",
        ["attempts", 2],
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/kept"},
        Tags=[{"Key": "local_mode:interrupt-after", "Value": "1"}],
    )
    assert server.ended("twice")["TrainingJobStatus"] == "Completed"
    before = streams(server, "twice/")

    server = start()

    assert streams(server, "twice/") == before
    assert [[message for _, message in events] for _, _, events in before] == [["attempt=1 ready"], []]
