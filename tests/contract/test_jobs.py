"""The platform contract, over every runner: what a program finds, and what becomes of what it does."""

import hashlib
import json

import pytest

from local_mode.errors import LocalModeError, SourceError
from tests.contract.conformance import not_enforced
from tests.contract.lab import eventually


@pytest.mark.contract("2.2", "D")
def test_config_files_hold_what_the_request_says(lab, source):
    files = lab.run(
        ["look"], channels={"train": source}, mode="File", hyperparameters={"quoted": '"adam"', "list": "[1, 2]"}
    ).report["files"]

    assert files["hyperparameters.json"] == {"act": '["look"]', "quoted": '"adam"', "list": "[1, 2]"}
    assert files["inputdataconfig.json"] == {
        "train": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    }
    interface = files["resourceconfig.json"].pop("network_interface_name")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
    assert files["resourceconfig.json"] == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [group],
    }
    assert set(files) == {"hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"}
    assert interface == ("eth0" if lab.kind == "docker" else "lo")


@pytest.mark.contract("1.2", "D")
def test_environment_is_the_platforms_the_images_and_the_requests(lab):
    seen = lab.run(["look"], Environment={"MINE": "two\nlines", "FROM_IMAGE": "overridden"}).report["environment"]

    assert seen["TRAINING_JOB_NAME"] == "job-1"
    assert seen["TRAINING_JOB_ARN"] == "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job-1"
    assert seen["AWS_REGION"] == "eu-west-1"
    assert seen["MINE"] == "two\nlines"
    assert seen["FROM_IMAGE"] == "overridden"
    assert [name for name in seen if name.startswith("SM_")] == []
    assert "SECRET" not in seen
    if lab.kind != "docker":
        allowed = {"PATH", "HOME", "LANG", "PIP_CERT", "TRAINING_JOB_NAME", "TRAINING_JOB_ARN", "AWS_REGION", "MINE"}
        assert set(seen) - allowed - {"LC_CTYPE"} <= {"FROM_IMAGE", "TMPDIR", "SAGEMAKER_BASE_DIR"}


@pytest.mark.contract("1.1", "O", "the program has no terminal, nothing on stdin, and starts in /")
def test_program_has_no_terminal_no_input_and_no_arguments(lab):
    report = lab.run(["look"]).report

    assert report["tty"] == [False, False, False]
    assert report["stdin"] == ""
    assert report["arguments"] == []
    assert report["cwd"] == "/"


@pytest.mark.contract("1.3", "D", "the program is PID 1 and algo-1 resolves")
def test_program_is_the_first_process_and_finds_its_host(lab):
    if lab.kind == "plain":
        not_enforced("a plain process has no process ids and no hosts file of its own")
    report = lab.run(["look"]).report

    assert report["pid"] == 1
    assert report["algo_1"] == "127.0.0.1"


@pytest.mark.contract("3.7", "D", "every epoch has the same bytes, objects in the binary order of their keys")
def test_pipe_epochs_are_byte_identical_and_in_binary_order_of_keys(lab, source):
    big = source.parent / "big"
    big.mkdir()
    (big / "0.bin").write_bytes(bytes(range(256)) * 20_000)
    run = lab.run(["epochs"], channels={"train": source, "other.one": big})

    expected = {
        "train": hashlib.sha256(b"zeta\nalpha no newlinebeta").hexdigest(),
        "other.one": hashlib.sha256(bytes(range(256)) * 20_000).hexdigest(),
    }
    assert run.report["digests"] == {name: [digest] * 3 for name, digest in expected.items()}
    assert run.report["listing"] == ["other.one_0", "train_0"]
    assert run.recorder.sent["other.one"] >= 3 * 5_120_000


@pytest.mark.contract("3.7", "D")
def test_reader_that_closes_early_gets_the_next_epoch_whole(lab, source):
    (source / "c.bin").write_bytes(bytes(3_000_000))
    report = lab.run(["early"], channels={"train": source}).report

    assert bytes.fromhex(report["start"]) == b"zeta\nal"
    assert report["digest"] == hashlib.sha256(b"zeta\nalpha no newlinebeta" + bytes(3_000_000)).hexdigest()


@pytest.mark.contract("3.7", "I")
def test_channel_without_bytes_ends_at_once_in_every_epoch(lab, source):
    empty = source.parent / "empty"
    empty.mkdir()
    (empty / "nothing").touch()
    report = lab.run(["epochs"], channels={"empty": empty}).report

    assert report["digests"] == {"empty": [hashlib.sha256(b"").hexdigest()] * 3}


@pytest.mark.contract("3.6", "D", "what a program does to a {mode} channel's folder does not reach the source")
@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_files_lie_below_the_channel_and_cannot_be_harmed(lab, source, mode):
    run = lab.run(["write_channel"], channels={"train": source}, mode=mode)

    denied = {"write": "EROFS", "remove": "EROFS", "add": "EROFS"}
    assert run.report["seen"] == (dict.fromkeys(denied, "done") if lab.kind == "plain" else denied)
    assert {path.name: path.read_text() for path in source.iterdir()} == {
        "a.txt": "alpha no newline",
        "b.txt": "beta",
        "Z.txt": "zeta\n",
    }


@pytest.mark.contract("3.5", "R")
def test_file_names_are_cut_at_a_folder_boundary(lab, source):
    (source.parent / "train-extra.csv").write_text("extra")
    (source / "deep").mkdir()
    (source / "deep" / "er.txt").write_text("deep")

    whole = lab.run(["tree"], channels={"train": f"{source}/"}, mode="File").report["files"]
    textual = lab.run(["tree"], channels={"train": str(source)[:-1]}, mode="File").report["files"]

    assert whole == {"a.txt": "alpha no newline", "b.txt": "beta", "Z.txt": "zeta\n", "deep/er.txt": "deep"}
    assert textual == {"train-extra.csv": "extra", **{f"train/{name}": text for name, text in whole.items()}}


@pytest.mark.contract("3.2", "R")
def test_channel_without_objects_is_refused_before_anything_is_made(lab, tmp_path):
    with pytest.raises(SourceError, match="Channel 'train': No S3 objects found under S3 URL \".*/nowhere\""):
        lab.run(["look"], channels={"train": tmp_path / "nowhere"})
    assert not (lab.root / "jobs").exists()


@pytest.mark.contract("4.1", "D")
def test_same_name_twice_is_refused(lab):
    lab.run(["look"])
    lab.count = 0
    with pytest.raises(LocalModeError, match="'job-1' exists in"):
        lab.run(["look"])


@pytest.mark.contract("4.3", "D")
def test_exit_code_0_is_completed_with_both_archives_and_final_metrics(lab, source):
    metrics = [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}]
    run = lab.run(["epochs"], channels={"train": source}, algorithm={"MetricDefinitions": metrics})

    assert run.status == "Completed"
    assert run.secondaries == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert [(item["MetricName"], item["Value"]) for item in run.description["FinalMetricDataList"]] == [("loss", 0.333)]
    log = (run.folder / "logs" / "algo-1.log").read_text()
    program, _, ours = log.rpartition("[local_mode] verdict: ")
    assert program == "".join(run.recorder.lines)
    assert ours.count("\n") == 1
    assert "epoch=2 channel=train loss=0.333;\n" in log


@pytest.mark.contract("4.3", "D")
def test_non_zero_exit_code_is_failed_with_the_programs_own_words(lab):
    run = lab.run(["end", 3, "the disk is made of cheese"])

    assert run.status == "Failed"
    assert run.description["FailureReason"] == "AlgorithmError: the disk is made of cheese, exit code: 3"
    assert run.secondaries == ["Starting", "Downloading", "Training", "Uploading", "Failed"]


@pytest.mark.contract("4.3", "O")
def test_failure_without_words_gives_the_exit_code_alone(lab):
    assert lab.run(["end", 9]).description["FailureReason"] == "AlgorithmError: , exit code: 9"


@pytest.mark.contract("4.3", "D")
def test_failure_reason_has_1024_characters_at_most_and_keeps_the_exit_code(lab):
    reason = lab.run(["end", 1, "é", 3000]).description["FailureReason"]

    assert len(reason) == 1024
    assert reason.startswith("AlgorithmError: éé")
    assert reason.endswith("é, exit code: 1")


@pytest.mark.contract("4.3", "U")
def test_exit_code_decides_even_beside_a_failure_file(lab):
    run = lab.run(["end", 0, "all is lost"])

    assert run.status == "Completed"
    assert any("output/failure" in note for note in run.recorder.notes)


@pytest.mark.contract("2.4", "R")
def test_archives_hold_the_contents_of_their_folders_and_failed_jobs_have_them_too(lab):
    run = lab.run(["end", 1, "no"])

    assert run.packed("model.tar.gz") == {"weights.bin": b"weights"}
    assert run.packed("output.tar.gz") == {"curve.csv": b"loss\n"}
    uploaded = lab.folder / "out" / "job-1" / "output"
    assert (uploaded / "model.tar.gz").read_bytes() == (run.folder / "model.tar.gz").read_bytes()
    assert run.description["ModelArtifacts"]["S3ModelArtifacts"] == (uploaded / "model.tar.gz").as_uri()


@pytest.mark.contract("4.3", "D")
def test_stop_reaches_the_program_which_has_time_to_save(lab):
    run = lab.start(["wait_for_stop"])
    assert run.recorder.ready.wait(30)
    run.job.stop()
    eventually(lambda: "Stopping" in run.secondaries)
    run.end()

    assert run.status == "Stopped"
    assert run.secondaries == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert run.report["saved"] is True
    assert (run.folder / "checkpoints" / "last.ckpt").read_text() == "state"


@pytest.mark.contract("4.3", "D")
def test_program_that_ignores_the_stop_is_killed_after_the_grace_period(lab):
    run = lab.start(["ignore_stop"], grace=1)
    assert run.recorder.ready.wait(30)
    run.job.stop()
    run.end()

    assert run.status == "Stopped"


@pytest.mark.contract("command line", "U")
def test_kill_does_not_wait_for_the_grace_period(lab):
    run = lab.start(["ignore_stop"], grace=600)
    assert run.recorder.ready.wait(30)
    run.job.kill()

    assert run.end().status == "Stopped"


@pytest.mark.contract(
    "4.3", "D", "a job over MaxRuntimeInSeconds is stopped as by StopTrainingJob and ends as MaxRuntimeExceeded"
)
def test_job_that_runs_too_long_is_stopped(lab):
    run = lab.run(["wait_for_stop"], StoppingCondition={"MaxRuntimeInSeconds": 2})

    assert run.status == "Stopped"
    assert run.secondaries[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


@pytest.mark.contract("1.1", "I")
def test_processes_the_program_leaves_end_with_it(lab):
    assert lab.run(["leave_child"]).status == "Completed"  # `end` looks for what is left


@pytest.mark.contract("4.4", "D")
def test_checkpoints_are_restored_and_saved_and_deletions_propagated(lab):
    place = lab.folder / "kept"
    place.mkdir()
    (place / "old.ckpt").write_text("old")
    (place / "big.ckpt").write_text("big")
    (place / "old.ckpt.sagemaker-uploaded").touch()
    run = lab.run(["checkpoints"], CheckpointConfig={"S3Uri": place.as_uri()})

    assert run.report["found"] == {"old.ckpt": "old", "big.ckpt": "big"}
    assert sorted(path.name for path in place.iterdir()) == ["big.ckpt", "new.ckpt", "old.ckpt.sagemaker-uploaded"]
    assert not (run.folder / "checkpoints").exists()


@pytest.mark.contract("2.3", "O", "checkpointconfig.json tells the path, and no S3Uri")
def test_checkpoint_path_is_told_to_the_program(lab):
    report = lab.run(["look"], CheckpointConfig={"S3Uri": str(lab.folder / "none-yet")}).report

    assert report["files"]["checkpointconfig.json"] == {"LocalPath": "/opt/ml/checkpoints"}


@pytest.mark.contract("1.1", "D")
def test_entry_point_and_arguments_replace_the_word_train(lab):
    command = {"ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": ["echo said $FROM_IMAGE; exit 4"]}
    run = lab.run(["look"], algorithm=command)

    assert run.recorder.lines == ["said yes\n"]
    assert run.description["FailureReason"] == "AlgorithmError: , exit code: 4"


@pytest.mark.contract("1.1", "D")
def test_arguments_alone_are_the_command_of_an_image_without_entry_point(lab):
    run = lab.run(["look"], algorithm={"ContainerArguments": ["python3", "-c", "print('python runs')"]})

    assert run.recorder.lines == ["python runs\n"]
    assert run.status == "Completed"


@pytest.mark.contract("1.1", "I")
def test_command_that_does_not_exist_fails_the_job(lab):
    run = lab.run(["look"], algorithm={"ContainerEntrypoint": ["no-such-program"]})

    assert run.status == "Failed"
    assert "no-such-program" in run.description["FailureReason"] + "".join(run.recorder.lines)


@pytest.mark.contract("1.4", "D")
def test_isolated_job_has_no_network_but_its_own(lab):
    if lab.kind == "plain":
        with pytest.raises(LocalModeError, match="EnableNetworkIsolation is true, but"):
            lab.run(["look"], EnableNetworkIsolation=True)
        return
    report = lab.run(["look"], EnableNetworkIsolation=True).report

    # Kernels add tunnel devices of no use (sit0, tunl0) to every new network; none of them leads out.
    assert "eth0" not in report["interfaces"]
    assert report["algo_1"] == "127.0.0.1"
    assert report["files"]["resourceconfig.json"]["network_interface_name"] == "lo"


@pytest.mark.contract("3.7", "U", "an object that changes while it is streamed fails the job and is named")
def test_object_that_cannot_be_streamed_fails_the_job_and_says_which(lab, source):
    changing = source / "growing.bin"
    changing.write_bytes(bytes(10))
    run = lab.start(["wait_for_stop"], channels={"train": source})
    assert run.recorder.ready.wait(30)
    changing.write_bytes(bytes(11))
    fifo = run.folder / "scratch" / "algo-1" / "opt_ml" / "input" / "data" / "train_0"
    fifo.read_bytes()  # in the program's place: it plays asleep
    run.end()

    assert run.description["TrainingJobStatus"] == "Failed"
    assert run.description["FailureReason"].startswith("ClientError: Channel 'train': ")
    assert "growing.bin changed while it was streamed: it had 10 bytes, then 11" in run.description["FailureReason"]


@pytest.mark.contract("2.4", "U")
def test_folders_a_program_locked_and_links_it_made_stop_nothing(lab):
    run = lab.run(["lock_up"])

    assert run.status == "Completed"
    assert run.packed("model.tar.gz")["weights.bin"] == b"weights"


@pytest.mark.contract("4.2", "U")
def test_request_is_kept_and_the_record_is_what_describe_answers(lab, source):
    run = lab.run(["tree"], channels={"train": source}, mode="File", Tags=[{"Key": "k", "Value": "v"}])

    assert json.loads((run.folder / "job.json").read_text()) == run.description
    assert json.loads((run.folder / "request.json").read_text())["Tags"] == [{"Key": "k", "Value": "v"}]
    assert any("Tags" in note for note in run.recorder.notes)
    assert run.description["TrainingEndTime"] >= run.description["TrainingStartTime"]


@pytest.mark.contract("4.4", "I")
def test_what_a_job_installs_is_gone_with_it(lab):
    if lab.kind == "docker":
        pytest.skip("a container's own layer; nothing of ours to prove")
    first, second = lab.run(["install"]).report, lab.run(["install"]).report

    assert first["before"] is False
    assert second["before"] is False
