"""Contract 4.4: checkpoints come before the start and go out while the job runs, over every runner."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from local_mode.errors import RunnerError
from local_mode.jobs.store import Store
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import JOB_LABEL, KEPT, Lab, assert_nothing_left, document, eventually, launch
from tests.contract.test_command_line import NOBODY, as_user, end, follow_until_ready, python_for

pytestmark = pytest.mark.contract("4.4", "D")

SYNCED = {"deep/second.ckpt": "second"}


def kept(folder):
    """What lies in a checkpoint store that is a folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "kept"


def test_4_4_changes_and_deletions_go_out_while_the_job_runs_with_marks_and_nothing_is_pulled(lab, place):
    place.mkdir()
    run = lab.start(["save_two"], CheckpointConfig={"S3Uri": str(place)})
    assert run.recorder.ready.wait(30), run.recorder.lines
    assert run.description["SecondaryStatus"] == "Training"
    assert kept(place) == SYNCED  # neither what ends in .sagemaker-ignore nor another file of the platform
    (place / "added.ckpt").write_text("by another")
    time.sleep(2)  # a round and more
    run.job.stop()
    run.end()

    assert run.report["seen"] == [
        "deep/second.ckpt", "deep/second.ckpt.sagemaker-uploaded", "half.ckpt.sagemaker-ignore", "mine.sagemaker-note",
    ]  # fmt: skip
    assert kept(place) == {**SYNCED, "added.ckpt": "by another"}


@pytest.mark.contract("4.4", "U")
@pytest.mark.parametrize("kind", ["docker", "plain"], indirect=True)  # one copies as the other; in Docker it is root's
def test_4_4_checkpoint_that_is_rewritten_in_place_is_never_torn_at_the_destination(lab, place):
    size, seen, over = 1 << 20, set(), threading.Event()

    def watch():
        while not over.is_set():
            if (place / "torn.ckpt").exists():
                seen.add((place / "torn.ckpt").read_bytes())
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run = lab.run(["rewrite", 5, size], CheckpointConfig={"S3Uri": str(place)})
    finally:
        over.set()
        watcher.join()

    assert run.status == "Completed"
    assert [content for content in seen if len(content) != size or len(set(content)) != 1] == []
    assert len(seen) >= 2  # it went out while the job ran


@pytest.mark.parametrize("path", ["/state", "/opt/ml/other/deep", "/opt/ml/checkpoints/"])
def test_4_4_local_path_is_where_the_program_finds_and_leaves_checkpoints(lab, place, path):
    place.mkdir()
    (place / "old.ckpt").write_text("old")
    config = {"S3Uri": str(place), "LocalPath": path}
    if lab.kind == "plain" and path == "/state":
        with pytest.raises(RunnerError, match="CheckpointConfig.LocalPath is '/state', but the suite says so"):
            lab.run(["found"], CheckpointConfig=config)
        return
    run = lab.run(["found"], CheckpointConfig=config)

    assert (run.report["found"], run.report["told"]) == ({"old.ckpt": "old"}, path)
    assert kept(place) == {"old.ckpt": "old", "new.ckpt": "new"}


@pytest.mark.contract("security", "U", "a link that leads out of the checkpoints is not followed")
def test_4_4_link_that_leads_out_is_not_followed_to_the_destination(lab, place):
    folder = "/opt/ml/checkpoints" if lab.kind != "plain" else "$SAGEMAKER_BASE_DIR/checkpoints"
    script = f"cd {folder} && echo one > one && ln -s /etc/passwd out && ln -s one in && ln -s /etc all && mkfifo pipe"
    command = {"ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": [script]}
    run = lab.run(["look"], algorithm=command, CheckpointConfig={"S3Uri": str(place)})

    assert run.status == "Completed"
    assert kept(place) == {"one": "one\n", "in": "one\n"}
    assert sorted(note.split()[1] for note in run.recorder.notes if "is not synced" in note) == ["all", "out", "pipe"]


@pytest.mark.contract("4.4", "U")
@pytest.mark.parametrize("kind", ["docker", "plain"], indirect=True)  # bubblewrap writes as a plain process does
def test_4_4_last_synced_checkpoint_outlives_a_local_mode_that_is_killed(kind, lab, tmp_path, place):
    config = {"CheckpointConfig": {"S3Uri": str(place)}}
    command = launch(kind, tmp_path, document("murdered", ["save_two"], tmp_path, **config))
    follow_until_ready(command)
    command.kill()
    command.communicate()
    assert kept(place) == SYNCED

    code, _, err = end(launch(kind, tmp_path, document("after", ["found"], tmp_path, **config)))
    assert code == 0, err
    assert kept(place) == {**SYNCED, "new.ckpt": "new"}
    assert not (tmp_path / "root" / "jobs" / "murdered" / "scratch").exists()


@pytest.mark.contract("4.4", "U")
def test_4_4_destination_that_cannot_be_written_is_told_and_fails_the_job_at_its_end(lab, place):
    (place / "last.ckpt").mkdir(parents=True)  # a folder where a file must be
    run = lab.run(["end_with_checkpoint"], CheckpointConfig={"S3Uri": str(place)})

    assert run.status == "Failed"
    assert run.description["FailureReason"].startswith("ClientError: Checkpoint upload failed: Cannot write ")
    assert (run.folder / "checkpoints" / "last.ckpt").read_text() == "last"
    assert run.packed("model.tar.gz")["weights.bin"] == b"weights"  # what else it left is not lost with it


@pytest.mark.contract("4.4", "U")
def test_4_4_container_removed_from_outside_leaves_its_checkpoints(docker_runner, tmp_path, place):
    lab = Lab(runner=docker_runner, kind="docker", folder=tmp_path, client=docker_runner._client)
    run = lab.start(["save_two"], CheckpointConfig={"S3Uri": str(place)})
    assert run.recorder.ready.wait(30)
    (container,) = lab.client.containers.list(filters={"label": f"{JOB_LABEL}={run.folder}"})
    container.remove(force=True)
    run.end()

    assert run.description["TrainingJobStatus"] == "Failed"
    assert "The container was removed from outside" in run.description["FailureReason"]
    assert kept(place) == SYNCED


@pytest.mark.contract("4.3", "U")
@pytest.mark.parametrize("number", ["KILL", "SEGV"])
def test_4_3_program_that_is_killed_is_reported_as_a_shell_counts(lab, number):
    algorithm = {
        "ContainerEntrypoint": ["/bin/sh", "-c"],
        "ContainerArguments": [f"sh -c 'kill -{number} $$'; exit $?"],
    }
    run = lab.run(["look"], algorithm=algorithm)

    code = {"KILL": 137, "SEGV": 139}[number]
    assert run.description["FailureReason"] == f"AlgorithmError: , exit code: {code}"


@pytest.mark.contract("4.4", "U")
def test_4_4_user_who_is_not_root_can_sync_and_remove_what_root_wrote(kind, lab, source):
    if os.getuid() != 0:
        pytest.skip("we are unprivileged: every other test of this suite shows it")
    home = Path(f"/var/tmp/local-mode-checkpoints-{os.getpid()}")
    home.mkdir()
    try:
        request = document("closed", ["closed_checkpoints"], home, CheckpointConfig={"S3Uri": str(home / "kept")})
        nobody = as_user(NOBODY, socket="/var/run/docker.sock" if kind == "docker" else None)
        shutil.chown(home, NOBODY, NOBODY)
        code, _, err = end(launch(kind, home, request, prefix=nobody, python=python_for(nobody)))

        assert code == 0, err
        assert kept(home / "kept") == {"locked/file": "x", "open": "y"}
        assert {path.name for path in (home / "root" / "jobs" / "closed").iterdir()} <= KEPT
        subprocess.run([*nobody, "rm", "-r", str(home / "root"), str(home / "kept")], check=True, timeout=20)
    finally:
        shutil.rmtree(home)


@pytest.mark.contract("3.5", "U")
def test_3_5_user_who_is_not_root_can_remove_what_root_wrote_to_a_channel(kind, lab):
    if os.getuid() != 0:
        pytest.skip("we are unprivileged: every other test of this suite shows it")
    home = Path(f"/var/tmp/local-mode-channel-{os.getpid()}")
    (home / "data").mkdir(parents=True)
    (home / "data" / "a-1").write_text("one")
    try:
        # The beginning of a name, and so a copy.
        channels = {"train": home / "data" / "a"}
        request = document("closed", ["close_channel"], home, channels=channels, mode="File")
        nobody = as_user(NOBODY, socket="/var/run/docker.sock" if kind == "docker" else None)
        shutil.chown(home, NOBODY, NOBODY)
        code, _, err = end(launch(kind, home, request, prefix=nobody, python=python_for(nobody)))

        assert code == 0, err
        assert {path.name for path in (home / "root" / "jobs" / "closed").iterdir()} <= KEPT
    finally:
        shutil.rmtree(home)


@pytest.mark.contract("3.5", "U")
@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_3_5_next_run_removes_what_root_wrote_to_a_channel_of_a_killed_one(kind, lab):
    if os.getuid() != 0:
        pytest.skip("we are unprivileged: we cannot be another user")
    home = Path(f"/var/tmp/local-mode-channel-{os.getpid()}")
    (home / "data").mkdir(parents=True)
    (home / "data" / "a-1").write_text("one")
    folder = home / "root" / "jobs" / "closed"
    try:
        channels = {"train": home / "data" / "a"}
        request = document("closed", ["close_channel", "wait_for_stop"], home, channels=channels, mode="File")
        nobody = as_user(NOBODY, socket="/var/run/docker.sock")
        shutil.chown(home, NOBODY, NOBODY)
        command = launch(kind, home, request, prefix=nobody, python=python_for(nobody))
        log = folder / "logs" / "algo-1.log"
        eventually(lambda: log.is_file() and "ready" in log.read_text(), 40)
        command.send_signal(signal.SIGKILL)
        command.communicate()
        request = document("after", ["look"], home)
        code, _, err = end(launch(kind, home, request, prefix=nobody, python=python_for(nobody)))

        assert code == 0, err
        assert "cleaned up after job closed" in err
        assert_nothing_left(folder, lab.client)
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server.start(tmp_path_factory.mktemp("endpoint"))
    made.client("s3").create_bucket(Bucket=BUCKET)
    yield made
    assert made.end() == 0
    assert "Traceback" not in made.log.read_text()


def objects(server, prefix):
    s3 = server.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
    return {
        item["Key"].removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().decode()
        for item in found
    }


def test_4_4_checkpoints_are_in_s3_while_the_job_runs(server):
    server.create("live", ["save_two"], CheckpointConfig={"S3Uri": f"s3://{BUCKET}/live"})
    eventually(lambda: server.log_lines("live") == ["ready"])

    assert server.describe("live")["SecondaryStatus"] == "Training"
    assert objects(server, "live/") == SYNCED
    server.client("sagemaker").stop_training_job(TrainingJobName="live")
    assert server.ended("live")["TrainingJobStatus"] == "Stopped"


PLAIN = {"model": {"deep/er.bin": "deep", "weights.bin": "weights", "inside": "weights"}}
PLAIN_FILES = {f"{top}/{name}": text for top in ("model", "output") for name, text in PLAIN["model"].items()}


def test_2_4_artifacts_without_compression_are_files_below_a_prefix(lab):
    output = {"S3OutputPath": str(lab.folder / "out"), "CompressionType": "NONE"}
    run = lab.run(["odd_files"], OutputDataConfig=output)

    assert run.status == "Completed"
    assert run.description["ModelArtifacts"]["S3ModelArtifacts"] == f"file://{lab.folder}/out/job-1/output/model/"
    assert kept(lab.folder / "out" / "job-1" / "output") == PLAIN_FILES
    assert not (run.folder / "model.tar.gz").exists()


def test_2_4_artifacts_without_compression_are_objects_below_a_prefix(server):
    output = {"S3OutputPath": f"s3://{BUCKET}/plain", "CompressionType": "NONE"}
    server.create("loose", ["odd_files"], OutputDataConfig=output)
    described = server.ended("loose")

    assert described["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/plain/loose/output/model/"
    assert objects(server, "plain/loose/output/") == PLAIN_FILES


@pytest.mark.parametrize(("act", "status"), [(["end", 0], "Completed"), (["end", 3], "Failed")])
def test_2_4_artifacts_are_published_however_the_job_ends(lab, act, status):
    run = lab.run(act)

    assert (run.status, run.packed("model.tar.gz")) == (status, {"weights.bin": b"weights"})
    assert (lab.folder / "out" / "job-1" / "output" / "model.tar.gz").is_file()


def test_2_4_artifacts_of_a_stopped_job_are_published(lab):
    run = lab.start(["wait_for_stop"])
    assert run.recorder.ready.wait(30)
    run.job.stop()
    run.end()

    assert run.status == "Stopped"
    assert (lab.folder / "out" / "job-1" / "output" / "model.tar.gz").is_file()


@pytest.mark.contract("4.6", "I")
def test_4_6_metrics_are_described_while_the_job_runs(lab):
    metrics = {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]}
    run = lab.start(["metrics_then_wait"], algorithm=metrics)
    eventually(lambda: [item["Value"] for item in run.description["FinalMetricDataList"]] == [0.25])

    assert run.description["TrainingJobStatus"] == "InProgress"
    eventually(lambda: Store(lab.root).get("job-1")["FinalMetricDataList"])
    run.job.kill()
    assert [item["Value"] for item in run.end().description["FinalMetricDataList"]] == [0.25]
