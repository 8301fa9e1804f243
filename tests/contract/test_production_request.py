"""What a request for a company's own account asks for besides: TensorBoard's files, subnets, keys of KMS."""

import json

import pytest

from local_mode.errors import ValidationError
from local_mode.jobs.rules import parse
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import document, eventually

VPC = {"SecurityGroupIds": ["sg-0123456789abcdef0"], "Subnets": ["subnet-0123456789abcdef0", "subnet-2"]}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"


def kept(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.contract("1.3", "U", "VpcConfig is kept and described, has no effect, and the job says so")
@pytest.mark.contract(
    "2.4", "U", "KmsKeyId and VolumeKmsKeyId are kept and described, have no effect, and the job says so"
)
def test_networks_and_keys_are_recorded_and_said_to_have_no_effect(lab):
    request = document("job-1", ["end", 0], lab.folder)
    output = {**request["OutputDataConfig"], "KmsKeyId": KEY}
    resources = {**request["ResourceConfig"], "VolumeKmsKeyId": KEY}
    run = lab.run(["end", 0], VpcConfig=VPC, OutputDataConfig=output, ResourceConfig=resources)

    assert run.status == "Completed"
    described = run.description
    assert (described["VpcConfig"], described["OutputDataConfig"]["KmsKeyId"]) == (VPC, KEY)
    assert described["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    (note,) = [note for note in run.recorder.notes if "without effect" in note]
    assert set(note.partition(": ")[2].split(", ")) == {"VpcConfig", "KmsKeyId", "VolumeKmsKeyId"}


@pytest.mark.contract("4.1", "U", "rules of Debugger and Profiler are refused: none is run, and none would pass unseen")
@pytest.mark.parametrize("field", ["DebugRuleConfigurations", "ProfilerRuleConfigurations"])
def test_rules_that_would_never_run_are_refused(field, tmp_path):
    with pytest.raises(ValidationError, match=f"rules yet; remove {field}"):
        parse(document("job", ["look"], tmp_path, **{field: [{"RuleConfigurationName": "loss"}]}))


@pytest.mark.contract("2.1", "I", "TensorBoard's files go to S3OutputPath, live where /opt/ml is this machine's")
@pytest.mark.parametrize("path", [None, "/opt/ml/output/boards/mine"])
def test_files_of_tensorboard_are_synced(lab, path):
    config = {"S3OutputPath": str(lab.folder / "tb"), **({"LocalPath": path} if path else {})}
    run = lab.start(["draw_curves"], TensorBoardOutputConfig=config)
    assert run.recorder.ready.wait(30), run.recorder.lines
    place = lab.folder / "tb" / "job-1" / "tensorboard-output"
    if lab.kind != "docker":
        eventually(lambda: kept(place) == {"run/events.out": "curves"})
        assert run.description["TrainingJobStatus"] == "InProgress"
    run.job.stop()
    run.end()

    assert kept(place) == {"run/events.out": "curves and more"}  # nothing of the platform's beside it
    assert run.report["told"] == {
        "S3OutputPath": str(lab.folder / "tb"),
        "LocalPath": path or "/opt/ml/output/tensorboard",
    }
    assert run.report["seen"] == ["run", "run/events.out"]


@pytest.mark.contract("2.1", "U", "TensorBoard's files that cannot be written fail the job, which keeps its artifacts")
def test_tensorboard_files_that_cannot_be_kept_fail_the_job_and_not_its_model(lab):
    place = lab.folder / "tb" / "job-1" / "tensorboard-output"
    (place / "run" / "events.out").mkdir(parents=True)  # a folder where a file must be
    run = lab.start(["draw_curves"], TensorBoardOutputConfig={"S3OutputPath": str(lab.folder / "tb")})
    assert run.recorder.ready.wait(30), run.recorder.lines
    run.job.stop()
    run.end()

    assert run.status == "Failed"
    reason = run.description["FailureReason"]
    assert reason.startswith(f"ClientError: TensorBoard file upload failed: Cannot write {place}/run/events.out: Is a")
    assert json.loads(run.packed("model.tar.gz")["report.json"])["seen"] == ["run", "run/events.out"]


@pytest.mark.contract("2.1", "I", "TensorBoard's files are objects below S3OutputPath/<job>/tensorboard-output/")
def test_files_of_tensorboard_are_objects_where_sdk_v2_looks_for_them(tmp_path):
    server = Server.start(tmp_path)
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        config = {"S3OutputPath": f"s3://{BUCKET}/tb"}
        server.create("drawn", ["draw_curves"], TensorBoardOutputConfig=config, VpcConfig=VPC)
        key = "tb/drawn/tensorboard-output/run/events.out"
        eventually(lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix="tb/").get("KeyCount"))
        server.client("sagemaker").stop_training_job(TrainingJobName="drawn")
        described = server.ended("drawn")

        assert (described["TrainingJobStatus"], described["TensorBoardOutputConfig"]) == ("Stopped", config)
        assert described["VpcConfig"] == VPC
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"curves and more"
        assert [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="tb/")["Contents"]] == [key]
        lost = {"S3OutputPath": "s3://no-such-bucket/tb"}
        with pytest.raises(server.client("sagemaker").exceptions.ClientError, match="no-such-bucket"):
            server.create("lost", ["draw_curves"], TensorBoardOutputConfig=lost)
    finally:
        assert server.end() == 0
