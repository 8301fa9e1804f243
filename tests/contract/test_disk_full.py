"""Contract 4.3: a disk that is really full, wherever it is: the job fails and says why, and the service goes on."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import eventually

pytestmark = pytest.mark.contract("4.3", "U")

MB = 1 << 20
ROOM = 24 * MB
MUCH = 16 * MB
"""Fits once and not twice."""


@pytest.fixture
def small_disk(tmp_path):
    """Makes file systems with little room; none outlives its test."""
    made = []

    def mount(folder):
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small file system")
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "small", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield mount
    for folder in made:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20)


@pytest.fixture
def start(tmp_path):
    """Starts an endpoint, and sees that it was well to its end."""
    made = []

    def start_one():
        made.append(Server.start(tmp_path))
        made[0].client("s3").create_bucket(Bucket=BUCKET)
        return made[0]

    yield start_one
    for server in made:
        assert server.end() == 0
        assert "Traceback" not in server.log.read_text()


def failed(server, name):
    """Why a job failed; its whole life is on record."""
    described = server.ended(name)
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Failed", "Failed")
    assert all("EndTime" in item for item in described["SecondaryStatusTransitions"])
    eventually(lambda: not (server.root / "jobs" / name / "scratch").exists())
    return described["FailureReason"]


def goes_on(server):
    """Whether the service still runs jobs, and keeps what they leave."""
    server.create("after", ["weigh", 1000])
    assert server.ended("after")["TrainingJobStatus"] == "Completed"
    kept = server.client("s3").get_object(Bucket=BUCKET, Key="out/after/output/model.tar.gz")
    assert kept["ContentLength"] > 1000


def test_4_3_root_folder_with_no_room_for_the_archive_fails_the_job_and_keeps_its_model(start, small_disk, tmp_path):
    small_disk(tmp_path / "root")
    server = start()
    server.create("big", ["weigh", MUCH])

    folder = server.root / "jobs" / "big"
    assert failed(server, "big") == (
        f"ClientError: Artifact upload failed: cannot write {folder}/model.tar.gz: No space left on device; what the "
        f"program wrote is in {folder}/model."
    )
    assert (folder / "model" / "weights.bin").stat().st_size == MUCH
    goes_on(server)


def test_4_3_root_folder_with_no_room_for_a_channel_fails_the_job_before_it_starts(start, small_disk, tmp_path):
    server = start()
    small_disk(server.root / "jobs")
    for name in ("in/a.bin", "in/b.bin"):
        server.client("s3").put_object(Bucket=BUCKET, Key=name, Body=bytes(MUCH))
    server.create("fed", ["look"], channels={"train": f"s3://{BUCKET}/in/"}, mode="File")

    reason = failed(server, "fed")
    assert reason.startswith("ClientError: Data download failed: ")
    assert "No space left on device" in reason
    assert f"{server.root}/jobs/fed/scratch" in reason
    goes_on(server)


def test_4_3_program_that_fills_the_disk_fails_by_itself(start, small_disk, tmp_path):
    server = start()
    small_disk(server.root / "jobs")
    server.create("greedy", ["weigh", 2 * MUCH])

    assert failed(server, "greedy") == "AlgorithmError: , exit code: 1"
    assert server.log_lines("greedy")[-1].startswith("OSError: [Errno 28] No space left on device")
    server.client("sagemaker").delete_training_job(TrainingJobName="greedy")  # what it left fills the disk yet
    goes_on(server)


def test_4_3_object_store_with_no_room_refuses_the_artifact_and_the_job_says_so(start, small_disk, tmp_path):
    small_disk(tmp_path / "root" / "s3")
    server = start()
    server.client("s3").put_object(Bucket=BUCKET, Key="there", Body=bytes(MUCH))
    server.create("big", ["weigh", MUCH])

    reason = failed(server, "big")
    assert reason.startswith(
        f"ClientError: Artifact upload failed: Cannot write s3://{BUCKET}/out/big/output/model.tar.gz: "
    )
    assert f"The disk is full under {server.root}/s3" in reason
    assert "make room there" in reason
    folder = server.root / "jobs" / "big"
    assert (folder / "model.tar.gz").stat().st_size > MUCH
    assert server.client("s3").get_object(Bucket=BUCKET, Key="there")["ContentLength"] == MUCH
    goes_on(server)


def test_4_3_checkpoints_with_no_room_at_their_place_fail_the_job_and_stay_with_it(start, small_disk, tmp_path):
    place = small_disk(tmp_path / "kept")
    (place / "of-others").write_bytes(bytes(MUCH))
    server = start()
    server.create("saved", ["weigh", 1000, MUCH], CheckpointConfig={"S3Uri": place.as_uri()})

    folder = server.root / "jobs" / "saved"
    assert failed(server, "saved") == (
        f"ClientError: Checkpoint upload failed: Cannot write {place}/big.ckpt: No space left on device. The "
        f"checkpoints are in {folder}/checkpoints."
    )
    assert (folder / "checkpoints" / "big.ckpt").stat().st_size == MUCH
    assert [path.name for path in Path(place).iterdir()] == ["of-others"]
    goes_on(server)


def test_4_3_full_disk_refuses_an_upload_in_the_words_of_s3_and_takes_one_when_there_is_room(
    start, small_disk, tmp_path
):
    small_disk(tmp_path / "root" / "s3")
    server = start()
    s3 = server.client("s3")
    s3.put_object(Bucket=BUCKET, Key="there", Body=bytes(MUCH))
    with pytest.raises(s3.exceptions.ClientError, match="disk is full under .*make room there") as caught:
        s3.put_object(Bucket=BUCKET, Key="more", Body=bytes(MUCH))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507

    s3.delete_object(Bucket=BUCKET, Key="there")
    s3.put_object(Bucket=BUCKET, Key="more", Body=bytes(MUCH))
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["more"]
