"""Contract 4.6: log streams in CloudWatch, live and long after, as the SDKs and `aws logs tail` read them."""

import shutil
import signal
import subprocess
import time

import pytest

from local_mode.page.files import left
from local_mode.pytest_plugin import LocalSageMaker
from local_mode.runners import bubblewrap
from tests.containers import miss
from tests.contract.endpoint import BUCKET, LOGS, Server, environment
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


# --- What `aws logs tail` calls, while a job runs ---------------------------------------------------


COUNT = 30
HOSTS = ("algo-1", "algo-2")


@pytest.fixture(scope="module")
def tailed(tmp_path_factory):
    """An endpoint with a job of two hosts that has said what it has to say and runs on, beside another job."""
    if reason := bubblewrap.why_not():
        miss(reason)
    server = Server.start(tmp_path_factory.mktemp("tailed"))
    try:
        server.client("s3").create_bucket(Bucket=BUCKET)
        server.create("other", ["say", [1, "not asked for\n"]])
        server.ended("other")
        two = {"InstanceType": "ml.m5.large", "InstanceCount": len(HOSTS), "VolumeSizeInGB": 1}
        server.create("talk", ["count_aloud", COUNT, 0.1], ResourceConfig=two)
        logs = server.client("logs")
        asked = {"logGroupName": LOGS, "logStreamNamePrefix": "talk/"}
        eventually(lambda: server.describe("talk")["SecondaryStatus"] == "Training")
        eventually(lambda: sum(item["message"] == "ready" for item in events(logs, **asked)) == len(HOSTS), 60)
        assert server.describe("talk")["TrainingJobStatus"] == "InProgress"
        yield server
    finally:
        assert server.end() == 0
    assert "Traceback" not in server.log.read_text()


def events(logs, **asked):
    """All events that pages of FilterLogEvents have."""
    pages = logs.get_paginator("filter_log_events").paginate(**asked)
    return [event for page in pages for event in page["events"]]


@pytest.mark.contract("4.6", "D", "FilterLogEvents by prefix has the lines of a running job's hosts, in order of time")
def test_events_of_a_prefix_are_those_of_a_running_jobs_hosts_as_they_came(tailed):
    found = events(tailed.client("logs"), logGroupName=LOGS, logStreamNamePrefix="talk", interleaved=True)

    said = [f"{host} line={number}" for host in HOSTS for number in range(COUNT)]
    assert sorted(item["message"] for item in found) == sorted([*said, *["ready"] * len(HOSTS)])
    assert [item["timestamp"] for item in found] == sorted(item["timestamp"] for item in found)
    order = [item["logStreamName"].partition("/")[2].rpartition("-")[0] for item in found]
    assert set(order) == set(HOSTS)
    assert order not in ([*sorted(order)], [*sorted(order, reverse=True)])  # not one host after the other
    for host in HOSTS:  # a host's own lines keep their order, also within a millisecond
        own = [item["message"] for item in found if item["message"].startswith(host)]
        assert own == [f"{host} line={number}" for number in range(COUNT)]
    assert len({item["eventId"] for item in found}) == len(found)
    assert events(tailed.client("logs"), logGroupName=LOGS, logStreamNamePrefix="talk") == found


@pytest.mark.contract("4.6", "D", "FilterLogEvents from a startTime has what came since, that millisecond included")
def test_events_since_a_time_are_those_from_that_millisecond_on(tailed):
    logs, asked = tailed.client("logs"), {"logGroupName": LOGS, "logStreamNamePrefix": "talk/"}
    found = events(logs, **asked)
    middle = found[len(found) // 2]["timestamp"]

    assert events(logs, **asked, startTime=middle) == [item for item in found if item["timestamp"] >= middle]
    assert events(logs, **asked, startTime=found[-1]["timestamp"] + 1) == []


@pytest.mark.contract("4.6", "D", "pages of FilterLogEvents, by nextToken, have every line once, also as lines come")
def test_pages_have_every_event_once_while_more_come(tailed):
    logs = tailed.client("logs")
    tailed.create("more", ["count_aloud", COUNT, 0.02])
    eventually(lambda: events(logs, logGroupName=LOGS, logStreamNamePrefix="more/"))
    asked, seen = {"logGroupName": LOGS, "logStreamNamePrefix": "more/", "limit": 3}, []
    since, token, deadline = {}, {}, time.monotonic() + 30
    while not any(item["message"] == "ready" for item in seen):
        assert time.monotonic() < deadline, seen
        page = logs.filter_log_events(**asked, **since, **token)
        known = {item["eventId"] for item in seen}
        new = [item for item in page["events"] if item["eventId"] not in known]
        assert len(page["events"]) <= 3
        assert not token or new == page["events"]
        seen += new
        token = {"nextToken": page["nextToken"]} if page.get("nextToken") else {}
        if not token and seen:  # as the command does that follows: from the last line's millisecond on
            since = {"startTime": seen[-1]["timestamp"]}
    assert [item["message"] for item in seen] == [*(f"algo-1 line={number}" for number in range(COUNT)), "ready"]


@pytest.mark.contract("4.6", "D", "a prefix that no stream has gives no events, and no others' either")
def test_prefix_of_no_stream_gives_nothing(tailed):
    assert events(tailed.client("logs"), logGroupName=LOGS, logStreamNamePrefix="nobody/") == []


@pytest.mark.contract("4.6", "D", "`aws logs tail`, of the AWS CLI's version 2, shows the lines of a running job")
def test_aws_cli_of_version_2_tails_a_running_job(tailed, tmp_path):
    command = shutil.which("aws")
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout if command else ""
    if not told.startswith("aws-cli/2"):
        pytest.skip(
            f"there is no AWS CLI of version 2 on PATH (found: {told.strip() or 'none'}); PyPI has version 1 only"
        )
    found = tailed.found
    keys = {"AWS_ACCESS_KEY_ID": found["access_key"], "AWS_SECRET_ACCESS_KEY": found["secret"], "HOME": str(tmp_path)}
    caller = {**environment(), **keys, "AWS_REGION": found["region"], "AWS_ENDPOINT_URL": found["url"]}
    words = [command, "logs", "tail", LOGS, "--log-stream-name-prefix", "talk/", "--since", "1h", "--format", "short"]
    done = subprocess.run(words, env=caller, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert sum(" line=" in line for line in done.stdout.splitlines()) == COUNT * len(HOSTS)
    assert "not asked for" not in done.stdout
