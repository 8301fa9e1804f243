"""What is not known of SageMaker, or not to be relied upon, is a choice (contract 0 and 7): one row for each."""

import boto3
import pytest

from local_mode.errors import LocalModeError
from local_mode.pytest_plugin import Options
from tests.contract.channels import channel
from tests.contract.endpoint import BUCKET, ENDED, Server, request
from tests.contract.lab import document, eventually, launch, stand_ins
from tests.contract.test_hosts import SEVERAL, hosts, reports

pytestmark = pytest.mark.contract("command line", "U")


@pytest.mark.contract("3.3", "U", "with shards=contiguous each host gets a run of a sharded channel's objects")
@SEVERAL
def test_shards_are_runs_of_objects_when_they_are_chosen_to_be(lab, put):
    folder = put("letters", {letter: letter.encode() for letter in "abcdef"})
    channels = [
        channel(mode.lower(), folder, distribution="ShardedByS3Key", InputMode=mode) for mode in ("File", "Pipe")
    ]
    run = lab.run(["shares"], choose=["shards=contiguous"], ResourceConfig=hosts(2), InputDataConfig=channels)

    assert {name: report["found"] for name, report in reports(run).items()} == {
        "algo-1": {"file": ["a", "b", "c"], "pipe": ["abc"]},
        "algo-2": {"file": ["d", "e", "f"], "pipe": ["def"]},
    }
    assert "by choice: shards=contiguous" in run.recorder.notes


@pytest.mark.contract("3.5", "R", "with manifest-names=suffix a ManifestFile's files lie under what follows its prefix")
def test_names_of_a_manifest_are_without_its_prefix_when_they_are_chosen_to_be(lab, put, manifest):
    place = manifest(put("set", {"deep/a.txt": b"a"}), "deep/a.txt")
    channels = [channel("train", place, kind="ManifestFile", InputMode="File")]

    assert list(lab.run(["tree"], InputDataConfig=channels).report["files"]) == ["set/deep/a.txt"]
    chosen = lab.run(["tree"], choose=["manifest-names=suffix"], InputDataConfig=channels)
    assert list(chosen.report["files"]) == ["deep/a.txt"]


@pytest.mark.contract("3.5", "O", "with file-folders=copied a folder's files are writable copies, as hosted")
def test_folder_is_copied_and_writable_when_it_is_chosen_to_be(lab, source):
    run = lab.run(["write_channel"], choose=["file-folders=copied"], channels={"train": source}, mode="File")

    assert run.report["seen"] == dict.fromkeys(("write", "remove", "add"), "done")
    assert (source / "a.txt").read_text() == "alpha no newline"
    assert sorted(path.name for path in source.iterdir()) == ["Z.txt", "a.txt", "b.txt"]


@pytest.mark.contract("4.3", "O", "with failure-file=fails a failure file beside exit code 0 fails the job")
def test_failure_file_beside_exit_code_0_fails_the_job_when_it_is_chosen_to(lab):
    run = lab.run(["end", 0, "not well"], choose=["failure-file=fails"])

    assert run.status == "Failed"
    assert run.description["FailureReason"] == "AlgorithmError: not well, exit code: 0"
    assert "weights.bin" in run.packed("model.tar.gz")
    assert lab.run(["end", 0, "not well"]).status == "Completed"


@pytest.mark.contract("2.4", "U", "with clashes=fail files of one name from several hosts fail the job")
@SEVERAL
def test_clashing_names_of_hosts_fail_the_job_when_they_are_chosen_to(lab):
    run = lab.run(["write_same_names"], choose=["clashes=fail"], ResourceConfig=hosts(2))

    assert run.status == "Failed"
    assert run.description["FailureReason"].startswith(
        "ClientError: model.tar.gz: several hosts wrote either, same.txt;"
    )
    assert run.packed("model.tar.gz")["same.txt"] == b"algo-1"


@pytest.mark.contract("2.2", "U", "with extra-keys=random input/config has keys and a file that no program knows")
def test_config_has_unknown_keys_and_a_file_when_it_is_chosen_to(lab, source):
    first, second = (
        lab.run(["look"], choose=["extra-keys=random"], channels={"train": source}).report["files"] for _ in range(2)
    )
    (name,) = set(first) - {"hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"}
    key = name.removesuffix(".json")

    assert name not in second
    assert key in first["inputdataconfig.json"]["train"]
    assert key in first["resourceconfig.json"]
    assert list(first["hyperparameters.json"]) == ["act"]


@pytest.mark.contract("2.2", "I", "with nic=NAME the hosts' interface has that name, and config says so")
@pytest.mark.parametrize("kind", ["docker"], indirect=True)
@pytest.mark.parametrize("count", [1, 2])
def test_interface_has_the_name_that_was_chosen(lab, count):
    seen = reports(lab.run(["meet"], choose=["nic=ethwe0"], ResourceConfig=hosts(count)))

    for report in seen.values():
        assert report["config"]["network_interface_name"] == "ethwe0"
        assert set(report["interfaces"]) == {"lo", "ethwe0"}


@pytest.mark.contract("2.2", "U", "a process, which has no interface of its own, refuses another name for it")
@pytest.mark.parametrize("kind", ["bubblewrap", "plain"], indirect=True)
def test_process_refuses_a_name_for_its_interface(lab):
    with pytest.raises(LocalModeError, match="The choice nic is 'ethwe0', but a process has this machine's own"):
        lab.run(["look"], choose=["nic=ethwe0"])
    assert not (lab.root / "jobs").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("shards=odd", "error: The choice shards is 'odd'; it is one of in-turn, contiguous."),
        ("shard=in-turn", "error: 'shard=in-turn' chooses nothing; write NAME=VALUE: shards=in-turn|contiguous, "),
        ("shards", "error: 'shards' chooses nothing; write NAME=VALUE: "),
        ("nic=eth1", "error: The choice nic is 'eth1'; it is up to 13 small letters and a 0"),
    ],
)
def test_command_line_refuses_what_is_no_choice(tmp_path, word, message):
    command = launch("plain", tmp_path, document("x", ["look"], tmp_path), "--choose", word)
    out, err = command.communicate(timeout=60)

    assert (command.returncode, out) == (1, "")
    assert err.startswith(message)


def test_command_line_chooses_for_a_job(tmp_path):
    options = ("--choose", "failure-file=fails", "--choose", "extra-keys=random")
    command = launch("plain", tmp_path, document("x", ["end", 0, "not well"], tmp_path), *options)
    _, err = command.communicate(timeout=60)

    assert command.returncode == 1, err
    assert "by choice: failure-file=fails, extra-keys=random" in err


@pytest.mark.contract("endpoint", "U")
def test_endpoint_chooses_for_all_of_its_jobs(tmp_path):
    server = Server.start(tmp_path, "--choose", "failure-file=fails")
    try:
        server.client("s3").create_bucket(Bucket=BUCKET)
        server.create("chosen", ["end", 0, "not well"])
        assert server.ended("chosen")["FailureReason"] == "AlgorithmError: not well, exit code: 0"
    finally:
        assert server.end() == 0


@pytest.fixture
def local_sagemaker_options():
    return Options(runtime="process", stand_ins=stand_ins(), choose={"failure-file": "fails"})


@pytest.mark.contract("endpoint", "U")
def test_pytest_fixture_chooses_for_the_jobs_of_a_test(local_sagemaker):
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_training_job(**request("chosen", ["end", 0, "not well"]))

    def described():
        return sagemaker.describe_training_job(TrainingJobName="chosen")

    eventually(lambda: described()["TrainingJobStatus"] in ENDED)
    assert described()["FailureReason"] == "AlgorithmError: not well, exit code: 0", local_sagemaker.log()
