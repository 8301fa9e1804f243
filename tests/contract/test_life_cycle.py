"""Sections 4.1 to 4.3 of the platform contract, over every runner: how a job ends, and what is said of it."""

import pytest

from tests.contract.lab import eventually


@pytest.fixture(scope="module")
def ended(shared_lab):
    """A job that ended well."""
    return shared_lab.run(["end", 0])


@pytest.fixture(scope="module")
def failed(shared_lab):
    """A job that failed, with words of several lines."""
    return shared_lab.run(["end", 41, "  first line\nsecond: é\n"])


@pytest.mark.contract("4.2", "C", "every secondary status has a StatusMessage, which the SDK prints")
def test_every_transition_has_its_message(ended, failed):
    items = ended.description["SecondaryStatusTransitions"] + failed.description["SecondaryStatusTransitions"]
    assert all(item["StatusMessage"] for item in items)


@pytest.mark.contract("4.2", "D", "each secondary status ends where the next begins")
def test_transitions_join(ended):
    items = ended.description["SecondaryStatusTransitions"]
    assert [item["EndTime"] for item in items[:-1]] == [item["StartTime"] for item in items[1:]]


@pytest.mark.contract("4.2", "D", "while a job runs, its last secondary status has no EndTime")
def test_current_transition_has_no_end(lab):
    run = lab.start(["end_when_stopped", 0])
    assert run.recorder.ready.wait(30)
    described = run.description
    run.job.stop()
    run.end()

    assert "EndTime" not in described["SecondaryStatusTransitions"][-1]
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("InProgress", "Training")
    assert "TrainingEndTime" not in described


@pytest.mark.contract("4.2", "D", "CreationTime, TrainingStartTime, TrainingEndTime and LastModifiedTime come in order")
def test_times_come_in_order(ended):
    described = ended.description
    times = [described[f"{name}Time"] for name in ("Creation", "TrainingStart", "TrainingEnd", "LastModified")]
    assert times == sorted(times)


@pytest.mark.contract("4.2", "D", "TrainingTimeInSeconds is TrainingEndTime less TrainingStartTime")
def test_training_time_is_the_difference(ended):
    described = ended.description
    seconds = described["TrainingEndTime"] - described["TrainingStartTime"]
    # Of whole seconds, one at least; counted by a clock that nobody sets, and a moment before the record is written.
    assert abs(described["TrainingTimeInSeconds"] - max(1, seconds)) <= 1


@pytest.mark.contract("4.2", "D", "a job that ended well has no FailureReason")
def test_good_end_has_no_reason(ended):
    assert "FailureReason" not in ended.description


@pytest.mark.contract("4.3", "O", "words of several lines stay so in FailureReason, before the exit code")
def test_words_of_several_lines_are_kept(failed):
    reason = failed.description["FailureReason"]
    assert reason == "AlgorithmError: first line\nsecond: é, exit code: 41"


@pytest.mark.contract("4.3", "D", "a program that crashed has 128 and the signal's number for its exit code")
def test_signal_is_told_as_an_exit_code(lab):
    run = lab.run(["crash"])

    assert run.description["FailureReason"] == "AlgorithmError: , exit code: 139"


@pytest.mark.contract("4.3", "U", "a failure file that is no UTF-8 costs nothing but the bytes that are none")
def test_failure_that_is_no_text_is_told_as_far_as_it_is(lab):
    reason = lab.run(["fail_in_bytes", (b"bad \xff byte").hex()]).description["FailureReason"]

    assert reason == "AlgorithmError: bad \ufffd byte, exit code: 1"


@pytest.mark.contract("4.3", "U", "a folder in the place of the failure file leaves the exit code to speak")
def test_failure_that_is_a_folder_leaves_the_exit_code(lab):
    assert lab.run(["fail_in_folder"]).description["FailureReason"] == "AlgorithmError: , exit code: 1"


@pytest.mark.contract("4.3", "I", "a program that answers the stop with exit code {code} ends as Stopped")
@pytest.mark.parametrize("code", [0, 1])
def test_any_exit_code_after_a_stop_is_stopped(lab, code):
    run = lab.start(["end_when_stopped", code])
    assert run.recorder.ready.wait(30)
    run.job.stop()
    run.job.stop()  # a second time changes nothing
    run.end()

    assert (run.status, run.description["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "FailureReason" not in run.description
    assert run.packed("model.tar.gz") == {"early.bin": b"early"}


@pytest.mark.contract("4.2", "D", "between StopTrainingJob and the end the status is Stopping")
def test_status_is_stopping_meanwhile(lab):
    run = lab.start(["ignore_stop"], grace=2)
    assert run.recorder.ready.wait(30)
    run.job.stop()
    eventually(lambda: run.description["TrainingJobStatus"] == "Stopping")
    run.job.kill()

    assert run.end().status == "Stopped"


@pytest.mark.contract("4.1", "D", "the record has the whole request: {name}")
@pytest.mark.parametrize("name", ["AlgorithmSpecification", "HyperParameters", "ResourceConfig", "StoppingCondition"])
def test_record_has_the_request(ended, name):
    given = {
        "HyperParameters": {"act": '["end", 0]'},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    described = ended.description[name]
    assert described == given[name] if name in given else described["TrainingInputMode"] == "Pipe"
