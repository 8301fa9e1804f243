from typing import Any

import pytest

from scripts.submitting import watching
from scripts.submitting.destination import Destination
from scripts.submitting.watching import Watch, summary
from tests.unit.scripts.submitting.fake_aws import FakeLogs, FakeSageMaker

STARTING = ("Starting", "Starting the training job")
TRAINING = ("Training", "in progress")
DONE = ("Completed", "done")


def follow(sagemaker: FakeSageMaker, logs: FakeLogs, **limits: float) -> tuple[dict[str, Any], list[str]]:
    """Follows the job `mine`; the last description and all that was said, without the times."""
    said: list[str] = []
    watch = Watch(Destination(sagemaker=sagemaker, logs=logs, s3=None), "mine", said.append)
    described = watch.follow(**{"every": 0.0, "most": 10.0, **limits})
    return described, [line if line.startswith("[") else line.split(" ", 1)[1] for line in said]


def test_statuses_and_lines_are_said_once_in_the_order_they_come():
    sagemaker = FakeSageMaker(
        ("InProgress", [STARTING]),
        ("InProgress", [STARTING, TRAINING]),
        ("InProgress", [STARTING, TRAINING]),
        ("Completed", [STARTING, TRAINING, DONE]),
    )
    logs = FakeLogs({}, {"mine/algo-1-17": ["a", "b", "c"]}, {"mine/algo-1-17": ["d"], "other/algo-1-9": ["x"]})

    described, said = follow(sagemaker, logs)

    assert described["TrainingJobStatus"] == "Completed"
    assert said == [
        "Starting - Starting the training job",
        "[algo-1] a",
        "[algo-1] b",
        "[algo-1] c",
        "Training - in progress",
        "[algo-1] d",
        "Completed - done",
    ]


def test_lines_that_come_after_the_end_are_said_too():
    logs = FakeLogs({"mine/algo-1-17": ["a"]}, {"mine/algo-1-17": ["late"]}, {}, {"mine/algo-1-17": ["later"]})

    _, said = follow(FakeSageMaker(("Failed", [DONE])), logs)

    assert said == ["[algo-1] a", "Completed - done", "[algo-1] late", "[algo-1] later"]


def test_message_of_a_status_that_changes_is_said_again():
    sagemaker = FakeSageMaker(("InProgress", [("Training", "10 %")]), ("Completed", [("Training", "90 %"), DONE]))

    _, said = follow(sagemaker, FakeLogs())

    assert said == ["Training - 10 %", "Training - 90 %", "Completed - done"]


def test_job_that_does_not_end_is_followed_no_longer_than_was_said(monkeypatch: pytest.MonkeyPatch):
    times = iter(range(100))
    monkeypatch.setattr(watching.time, "monotonic", lambda: float(next(times)))

    described, said = follow(FakeSageMaker(("InProgress", [STARTING])), FakeLogs(), most=3.0)

    assert described["TrainingJobStatus"] == "InProgress"
    assert said == ["Starting - Starting the training job"]


def test_summary_has_what_a_person_wants_to_know_of_an_end():
    text = summary(
        {
            "TrainingJobName": "mine",
            "TrainingJobStatus": "Failed",
            "FailureReason": "AlgorithmError: why",
            "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.25}],
            "TrainingTimeInSeconds": 1200,
            "BillableTimeInSeconds": 400,
            "ModelArtifacts": {"S3ModelArtifacts": "s3://mine/model.tar.gz"},
        }
    )

    assert text.splitlines() == [
        "mine: Failed",
        "  reason  AlgorithmError: why",
        "  metric  loss = 0.25",
        "  billed  400 s of 1,200 s of training",
        "  model   s3://mine/model.tar.gz",
    ]
