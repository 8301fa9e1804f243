"""Jobs of several hosts (contract 1.3, 1.4, 2.2, 2.4, 3.3, 3.4, 4.3, 4.4, 4.6), over the runners that have them."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from local_mode.errors import LocalModeError
from local_mode.runners.docker_network import JOB_LABEL, gateway_of, network_name
from tests.contract.endpoint import BUCKET, LOGS, Server
from tests.contract.lab import assert_nothing_left, document, eventually, launch, processes
from tests.contract.test_command_line import NOBODY, as_user, python_for

pytestmark = pytest.mark.contract("1.3", "D")

SEVERAL = pytest.mark.parametrize("kind", ["docker", "bubblewrap"], indirect=True)
COMMAND_SECONDS = 90


def hosts(count):
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1}


def groups(**counts):
    return {
        "InstanceGroups": [
            {"InstanceGroupName": name, "InstanceType": f"ml.{name}.large", "InstanceCount": count}
            for name, count in counts.items()
        ],
        "VolumeSizeInGB": 1,
    }


def channel(name, uri, **fields):
    """A channel of the request; `fields` go where they belong."""
    source = {"S3DataType": "S3Prefix", "S3Uri": str(uri)}
    source |= {key: fields.pop(key) for key in ("S3DataDistributionType", "InstanceGroupNames") if key in fields}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **fields}


def reports(run):
    """What every host reported, by its name."""
    assert run.status in ("Completed", "Stopped"), (run.description.get("FailureReason"), run.recorder.lines)
    packed = run.packed("model.tar.gz")
    return {name.removesuffix(".json"): json.loads(text) for name, text in packed.items() if name.endswith(".json")}


@pytest.fixture
def lettered(tmp_path):
    """Six objects of one letter each."""
    folder = tmp_path / "letters"
    folder.mkdir()
    for letter in "abcdef":
        (folder / letter).write_text(letter)
    return f"{folder}/"


@SEVERAL
def test_1_3_names_resolve_peers_connect_both_ways_and_hostnames_are_others(lab):
    seen = reports(lab.run(["meet"], ResourceConfig=hosts(2)))

    assert set(seen) == {"algo-1", "algo-2"}
    assert (seen["algo-1"]["heard"], seen["algo-2"]["heard"]) == (["algo-2"], ["algo-1"])
    assert seen["algo-1"]["addresses"] == seen["algo-2"]["addresses"]
    assert len(set(seen["algo-1"]["addresses"].values())) == 2
    for report in seen.values():
        assert report["hostname"] not in seen
        assert report["config"]["network_interface_name"] in report["interfaces"]
    if lab.kind == "bubblewrap":
        assert seen["algo-1"]["addresses"] == {"algo-1": "127.0.0.2", "algo-2": "127.0.0.3"}


@SEVERAL
def test_2_2_resource_config_says_on_each_host_who_it_is_and_who_else_there_is(lab):
    seen = reports(lab.run(["meet"], ResourceConfig=hosts(2)))

    for name, report in seen.items():
        group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large"}
        assert report["config"] == {
            "current_host": name,
            "current_instance_type": "ml.m5.large",
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1", "algo-2"],
            "instance_groups": [{**group, "hosts": ["algo-1", "algo-2"]}],
            "network_interface_name": "eth0" if lab.kind == "docker" else "lo",
        }


@SEVERAL
def test_2_2_eleven_hosts_are_listed_as_text_and_all_meet(lab):
    seen = reports(lab.run(["meet"], ResourceConfig=hosts(11)))

    assert len(seen) == 11
    for report in seen.values():
        assert report["config"]["hosts"][:4] == ["algo-1", "algo-10", "algo-11", "algo-2"]
        assert report["config"]["instance_groups"][0]["hosts"] == report["config"]["hosts"]
        assert len(report["heard"]) == 10


@SEVERAL
def test_1_4_isolated_hosts_reach_each_other_and_nothing_else(lab):
    with socket.create_server(("0.0.0.0", 0)) as server:  # a container comes in by another address than loopback
        place = "127.0.0.1"
        if lab.kind == "docker":
            place = gateway_of(lab.client.networks.get("bridge"))
        outside = [place, server.getsockname()[1]]
        free = lab.run(["meet", outside], ResourceConfig=hosts(2))
        isolated = lab.run(["meet", outside], ResourceConfig=hosts(2), EnableNetworkIsolation=True)

    assert {name: report["reached"] for name, report in reports(free).items()} == {"algo-1": True, "algo-2": True}
    seen = reports(isolated)
    assert {name: report["reached"] for name, report in seen.items()} == {"algo-1": False, "algo-2": False}
    assert (seen["algo-1"]["heard"], seen["algo-2"]["heard"]) == (["algo-2"], ["algo-1"])
    assert all(report["config"]["network_interface_name"] in report["interfaces"] for report in seen.values())


@SEVERAL
def test_3_3_sharded_channels_are_divided_and_replicated_ones_are_not(lab, lettered):
    channels = [
        channel("whole", lettered, InputMode="File"),
        channel("files", lettered, InputMode="File", S3DataDistributionType="ShardedByS3Key"),
        channel("fast", lettered, InputMode="FastFile", S3DataDistributionType="ShardedByS3Key"),
        channel("pipe", lettered, InputMode="Pipe", S3DataDistributionType="ShardedByS3Key"),
    ]
    run = lab.run(["shares", 2], ResourceConfig=hosts(2), InputDataConfig=channels)
    seen = {name: report["found"] for name, report in reports(run).items()}

    for name in ("files", "fast"):
        assert (seen["algo-1"][name], seen["algo-2"][name]) == (["a", "c", "e"], ["b", "d", "f"])
    assert seen["algo-1"]["whole"] == seen["algo-2"]["whole"] == list("abcdef")
    assert (seen["algo-1"]["pipe"], seen["algo-2"]["pipe"]) == (["ace", "ace"], ["bdf", "bdf"])
    assert any("channel fast: every host's share is copied" in note for note in run.recorder.notes)


@pytest.mark.contract("3.6", "D", "a FastFile channel that had to be copied is read-only all the same")
@SEVERAL
def test_3_6_fast_file_channel_that_was_copied_is_read_only(lab, source):
    sharded = {"InputMode": "FastFile", "S3DataDistributionType": "ShardedByS3Key"}
    run = lab.run(
        ["write_channel"], ResourceConfig=hosts(2), InputDataConfig=[channel("train", f"{source}/", **sharded)]
    )

    assert set(run.report["seen"].values()) <= {"EROFS", "ENOENT"}
    assert run.report["seen"]["add"] == "EROFS"


@pytest.mark.contract("3.3", "I")
@SEVERAL
def test_3_3_host_with_no_share_has_an_empty_folder_and_streams_that_end_at_once(lab, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a").write_text("a")
    sharded = {"S3DataDistributionType": "ShardedByS3Key"}
    channels = [channel(mode.lower(), f"{tmp_path}/one/", InputMode=mode, **sharded) for mode in ("File", "Pipe")]
    seen = reports(lab.run(["shares", 2], ResourceConfig=hosts(2), InputDataConfig=channels))

    assert seen["algo-1"]["found"] == {"file": ["a"], "pipe": ["a", "a"]}
    assert seen["algo-2"]["found"] == {"file": [], "pipe": ["", ""]}


@SEVERAL
def test_3_4_shuffled_shards_differ_in_every_epoch_and_never_overlap(lab, lettered):
    shuffled = {"S3DataDistributionType": "ShardedByS3Key", "ShuffleConfig": {"Seed": 3}}
    channels = [channel("pipe", lettered, InputMode="Pipe", **shuffled)]
    seen = reports(lab.run(["shares", 4], ResourceConfig=hosts(2), InputDataConfig=channels))
    first, second = seen["algo-1"]["found"]["pipe"], seen["algo-2"]["found"]["pipe"]

    assert [sorted(a + b) for a, b in zip(first, second, strict=True)] == [list("abcdef")] * 4
    assert len({"".join(sorted(epoch)) for epoch in first}) > 1


@SEVERAL
def test_2_2_and_3_3_groups_have_their_types_and_their_channels(lab, lettered):
    channels = [
        channel("all", lettered, InputMode="File"),
        channel("some", lettered, InputMode="File", InstanceGroupNames=["m5"], S3DataDistributionType="ShardedByS3Key"),
    ]
    seen = reports(lab.run(["meet"], ResourceConfig=groups(c5=1, m5=2), InputDataConfig=channels))
    listed = [
        {"instance_group_name": "c5", "instance_type": "ml.c5.large", "hosts": ["algo-1"]},
        {"instance_group_name": "m5", "instance_type": "ml.m5.large", "hosts": ["algo-2", "algo-3"]},
    ]

    assert {name: report["config"]["current_group_name"] for name, report in seen.items()} == {
        "algo-1": "c5",
        "algo-2": "m5",
        "algo-3": "m5",
    }
    assert seen["algo-3"]["config"]["current_instance_type"] == "ml.m5.large"
    assert all(report["config"]["instance_groups"] == listed for report in seen.values())
    assert (seen["algo-1"]["data"], sorted(seen["algo-1"]["inputs"])) == (["all"], ["all"])
    assert (seen["algo-2"]["data"], sorted(seen["algo-2"]["inputs"])) == (["all", "some"], ["all", "some"])


@pytest.mark.contract("3.3", "I")
@SEVERAL
def test_3_3_a_channel_of_some_groups_is_divided_among_their_hosts_alone(lab, lettered):
    sharded = {"InstanceGroupNames": ["m5"], "S3DataDistributionType": "ShardedByS3Key"}
    run = lab.run(
        ["shares"],
        ResourceConfig=groups(c5=1, m5=2),
        InputDataConfig=[channel("some", lettered, InputMode="File", **sharded)],
    )

    assert {name: report["found"] for name, report in reports(run).items()} == {
        "algo-1": {},
        "algo-2": {"some": ["a", "c", "e"]},
        "algo-3": {"some": ["b", "d", "f"]},
    }


@SEVERAL
def test_4_3_one_host_that_fails_fails_the_job_with_its_reason_and_ends_the_others(lab):
    start = time.monotonic()
    run = lab.run(["fail_alone", "algo-2", "the cause", 3], ResourceConfig=hosts(2))

    assert run.status == "Failed"
    assert run.description["FailureReason"] == "AlgorithmError: the cause, exit code: 3"
    assert time.monotonic() - start < 30  # the others ignore SIGTERM and would sleep for a minute
    assert "algo-2 ended with exit code 3; the other hosts are ended" in run.recorder.notes
    assert run.packed("model.tar.gz") == {"left.txt": b"by the one that failed"}


@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_4_3_container_removed_from_outside_fails_the_job_and_ends_the_others(lab):
    run = lab.start(["ignore_stop"], ResourceConfig=hosts(2))
    eventually(lambda: run.recorder.lines == ["ready\n", "ready\n"], 30)
    lab.client.containers.list(filters={"label": f"{JOB_LABEL}={run.folder}"})[0].remove(force=True)
    run.end()

    assert run.status == "Failed"
    assert run.description["FailureReason"].startswith("ClientError: The container was removed from outside")


@SEVERAL
def test_4_3_stop_reaches_all_hosts_and_each_has_its_grace(lab, tmp_path):
    config = {"S3Uri": str(tmp_path / "kept")}
    run = lab.start(["stop_together"], ResourceConfig=hosts(2), CheckpointConfig=config)
    eventually(lambda: sorted(run.recorder.lines) == ["ready algo-1\n", "ready algo-2\n"], 30)
    run.job.stop()
    run.end()

    assert (run.status, run.secondaries[-1]) == ("Stopped", "Stopped")
    assert set(reports(run)) == {"algo-1", "algo-2"}
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["algo-1.ckpt", "algo-2.ckpt"]


@pytest.mark.contract("4.3", "I")
@SEVERAL
def test_4_3_grace_ends_for_all_hosts_at_once(lab):
    run = lab.start(["ignore_stop"], ResourceConfig=hosts(2), grace=1.0)
    eventually(lambda: run.recorder.lines == ["ready\n", "ready\n"], 30)
    run.job.stop()
    start = time.monotonic()
    run.end()

    assert run.status == "Stopped"
    assert time.monotonic() - start < 15


@SEVERAL
def test_2_4_what_all_hosts_leave_is_one_archive_and_clashes_are_told(lab):
    run = lab.run(["write_same_names"], ResourceConfig=hosts(2))

    assert run.status == "Completed"
    assert run.packed("model.tar.gz") == {
        "same.txt": b"algo-1",
        "either": b"algo-1",
        "folder/algo-1.txt": b"algo-1",
        "folder/algo-2.txt": b"algo-2",
    }
    assert run.packed("output.tar.gz") == {"algo-1.csv": b"algo-1", "algo-2.csv": b"algo-2"}
    (told,) = [note for note in run.recorder.notes if "several hosts wrote" in note]
    assert told.startswith("model.tar.gz: several hosts wrote either, same.txt; the first host's is kept")
    for host in ("algo-1", "algo-2"):
        assert (run.folder / "checkpoints" / host / f"{host}.ckpt").read_text() == host


@SEVERAL
def test_4_4_every_host_restores_the_same_checkpoints_and_all_go_to_one_place(lab, tmp_path):
    place = tmp_path / "kept"
    place.mkdir()
    for name in ("old", "pruned"):
        (place / f"{name}.ckpt").write_text(name)
    run = lab.run(["checkpoints_of_all"], ResourceConfig=hosts(2), CheckpointConfig={"S3Uri": str(place)})

    assert {name: report["found"] for name, report in reports(run).items()} == {
        "algo-1": {"old.ckpt": "old", "pruned.ckpt": "pruned"},
        "algo-2": {"old.ckpt": "old", "pruned.ckpt": "pruned"},
    }
    # What one host removes is removed, though the other has its copy still.
    names = ["algo-1.ckpt", "algo-2.ckpt", "of-all.ckpt", "old.ckpt"]
    assert sorted(path.name for path in place.iterdir()) == names
    assert (place / "of-all.ckpt").read_text() in ("algo-1", "algo-2")


@pytest.mark.contract("4.6", "I")
@SEVERAL
def test_4_6_metrics_and_log_files_come_from_all_hosts(lab):
    definitions = [{"Name": name, "Regex": f"loss_of_{name}=([0-9]+)"} for name in ("algo_1", "algo_2")]
    run = lab.run(["tell"], ResourceConfig=hosts(2), algorithm={"MetricDefinitions": definitions})

    found = {item["MetricName"]: item["Value"] for item in run.description["FinalMetricDataList"]}
    assert found == {"algo_1": 1.0, "algo_2": 2.0}
    assert sorted(path.name for path in (run.folder / "logs").iterdir()) == ["algo-1.log", "algo-2.log"]
    assert (run.folder / "logs" / "algo-2.log").read_text() == "host=algo-2 loss_of_algo_2=2;\nbye from algo-2"
    assert sorted(set(run.recorder.hosts)) == ["algo-1", "algo-2"]


def end(command):
    try:
        out, err = command.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        command.kill()
        raise AssertionError(f"no end: {command.communicate()}") from None
    return command.returncode, out, err


@pytest.mark.contract("command line", "U")
@SEVERAL
def test_command_line_says_whose_lines_and_channels_they_are(kind, lab, tmp_path, lettered):
    channels = [channel("pipe", lettered, InputMode="Pipe", S3DataDistributionType="ShardedByS3Key")]
    request = document("prefixed", ["tell"], tmp_path, ResourceConfig=hosts(2), InputDataConfig=channels)
    code, out, err = end(launch(kind, tmp_path, request))

    assert code == 0, err
    assert sorted(out.splitlines()) == [
        "algo-1 | bye from algo-1",
        "algo-1 | host=algo-1 loss_of_algo_1=1;",
        "algo-2 | bye from algo-2",
        "algo-2 | host=algo-2 loss_of_algo_2=2;",
    ]
    assert "algo-1 pipe was not read" in err
    assert "algo-2 pipe was not read" in err


@pytest.mark.contract("command line", "U")
@SEVERAL
@pytest.mark.parametrize("isolated", [False, True])
def test_next_run_sweeps_all_hosts_of_a_killed_one_and_their_network(kind, lab, tmp_path, lettered, isolated):
    channels = [channel("pipe", lettered, InputMode="Pipe")]
    request = document("murdered", ["ignore_stop"], tmp_path, ResourceConfig=hosts(2), InputDataConfig=channels)
    command = launch(kind, tmp_path, {**request, "EnableNetworkIsolation": isolated})
    log = tmp_path / "root" / "jobs" / "murdered" / "logs"
    eventually(
        lambda: all((log / f"algo-{n}.log").is_file() and (log / f"algo-{n}.log").read_text() for n in (1, 2)), 40
    )
    folder = tmp_path / "root" / "jobs" / "murdered"
    if kind == "docker":
        assert lab.client.networks.list(names=[network_name(folder)])
    command.send_signal(signal.SIGKILL)
    command.communicate()
    if kind == "bubblewrap":  # sandboxes and what holds their network die with it
        eventually(lambda: processes(folder) == [])

    code, _, err = end(launch(kind, tmp_path, document("after", ["look"], tmp_path)))

    assert (code, "cleaned up after job murdered" in err) == (0, True), err
    assert_nothing_left(folder, lab.client)


@pytest.mark.parametrize("kind", ["bubblewrap"], indirect=True)
def test_isolated_hosts_share_a_network_for_an_unprivileged_user_too(kind, lab):
    if os.getuid() != 0:
        pytest.skip("we are unprivileged: 1.4 shows it")
    # pytest's own folders are closed to others.
    home = Path(f"/var/tmp/local-mode-hosts-{os.getpid()}")
    home.mkdir()
    try:
        request = document("isolated", ["meet"], home, ResourceConfig=hosts(2), EnableNetworkIsolation=True)
        as_nobody = as_user(NOBODY, socket=None)
        shutil.chown(home, NOBODY, NOBODY)
        code, _, err = end(launch(kind, home, request, prefix=as_nobody, python=python_for(as_nobody)))
        assert code == 0, err
        assert_nothing_left(home / "root" / "jobs" / "isolated", None)
    finally:
        shutil.rmtree(home)


@SEVERAL
def test_4_6_every_host_has_a_log_stream_and_its_share_of_what_is_in_s3(kind, tmp_path):
    server = Server.start(tmp_path, runtime="docker" if kind == "docker" else "process")
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for letter in "abc":
            s3.put_object(Bucket=BUCKET, Key=f"in/{letter}", Body=letter.encode())
        channels = [channel("files", f"s3://{BUCKET}/in/", S3DataDistributionType="ShardedByS3Key")]
        server.create("two", ["shares"], mode="File", ResourceConfig=hosts(2), InputDataConfig=channels)
        described = server.ended("two")
        logs = server.client("logs")
        streams = logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix="two/")["logStreams"]
        bucket, _, key = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
        with tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())) as tar:
            found = {item.name: json.loads(tar.extractfile(item).read())["found"]["files"] for item in tar}
    finally:
        assert server.end() == 0

    assert described["TrainingJobStatus"] == "Completed", described
    assert [re.sub(r"\d{10}$", "time", item["logStreamName"]) for item in streams] == [
        "two/algo-1-time",
        "two/algo-2-time",
    ]
    assert found == {"algo-1.json": ["a", "c"], "algo-2.json": ["b"]}


@pytest.mark.contract("1.3", "U")
@pytest.mark.parametrize("kind", ["plain"], indirect=True)
def test_plain_processes_refuse_several_hosts_and_say_what_to_do(lab):
    text = "The job has 2 hosts, but the suite says so, so their names would not resolve; install bubblewrap"
    with pytest.raises(LocalModeError, match=text):
        lab.run(["meet"], ResourceConfig=hosts(2))
    assert not (lab.root / "jobs").exists()
