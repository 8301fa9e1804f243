import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts import submit_training
from scripts.submitting import destination, measuring
from scripts.submitting.destination import Destination
from scripts.submitting.measuring import Measured
from scripts.submitting.watching import Watch
from tests.unit.scripts.submitting.fake_aws import FakeLogs, FakeSageMaker
from tests.unit.scripts.submitting.jobs import ROLE, ROOT

JOB = str(ROOT / "examples" / "jobs" / "pytorch-cifar10.yaml")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/vision-training-pytorch:1"
ON_AWS, HERE = "https://api.sagemaker.us-east-1.amazonaws.com", "http://127.0.0.1:4640"
BUCKET = ("--bucket", "s3://mine/vision")


class Place:
    """Where jobs go in a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        self.sagemaker = FakeSageMaker(("Completed", [("Completed", "done")]))
        self.sagemaker.meta = SimpleNamespace(endpoint_url=url, region_name="us-east-1")  # type: ignore[attr-defined]
        found = Destination(sagemaker=self.sagemaker, logs=FakeLogs(), s3=None)
        monkeypatch.setattr(destination, "find", lambda: found)
        monkeypatch.setenv("SAGEMAKER_ROLE_ARN", ROLE)

    @property
    def created(self) -> list[dict[str, Any]]:
        return self.sagemaker.created


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(monkeypatch, HERE)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(monkeypatch, ON_AWS)


@pytest.fixture
def job(tmp_path: Path) -> str:
    """A job that says how long it may run, 1 hour of 1.408 USD."""
    text = Path(JOB).read_text().replace("TrainingImage: pytorch", f"TrainingImage: {IMAGE}")
    path = tmp_path / "mine.yaml"
    path.write_text(f"{text}StoppingCondition: {{MaxRuntimeInSeconds: 3600}}\n")
    return str(path)


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def test_job_is_sent_as_completed(here: Place, capsys: pytest.CaptureFixture[str]):
    assert submit_training.main([JOB, *BUCKET, "--set", "epochs=2 note='a b'"]) == 0

    (request,) = here.created
    assert request["HyperParameters"]["epochs"] == "2"
    assert request["HyperParameters"]["note"] == "a b"
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 86_400
    assert f"{request['TrainingJobName']}: sent to the endpoint at {HERE}" in capsys.readouterr().out


def test_dry_run_prints_the_request_and_sends_nothing(here: Place, capsys: pytest.CaptureFixture[str]):
    assert submit_training.main([JOB, *BUCKET, "--dry-run"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://mine/vision/cifar10/train/"
    assert here.created == []


@pytest.mark.parametrize(("kind", "call"), [("estimator", "Estimator("), ("model-trainer", "ModelTrainer(")])
def test_code_is_printed_and_nothing_sent(here: Place, capsys: pytest.CaptureFixture[str], kind: str, call: str):
    assert submit_training.main([JOB, *BUCKET, "--as", kind]) == 0

    assert call in capsys.readouterr().out
    assert here.created == []


def test_role_that_is_typed_wins(here: Place):
    submit_training.main([JOB, *BUCKET, "--role", "arn:aws:iam::123456789012:role/typed"])

    assert here.created[0]["RoleArn"] == "arn:aws:iam::123456789012:role/typed"


def test_mistyped_field_is_refused_before_anything_is_sent(
    here: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "job.yaml").write_text("AlgorithmSpecification: {TrainingImag: pytorch}\n")

    assert submit_training.main([str(tmp_path / "job.yaml")]) == 1

    assert "did you mean TrainingImage?" in capsys.readouterr().err
    assert here.created == []


def test_dear_job_is_refused_where_nobody_can_be_asked(
    aws: Place, job: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert submit_training.main([job, *BUCKET, "--max-usd", "1"]) == 1

    assert "may cost up to 1.50 USD, by the prices of us-east-1, " in capsys.readouterr().err
    assert aws.created == []


@pytest.mark.parametrize(("answer", "sent"), [("y\n", 1), ("\n", 0), ("n\n", 0), ("", 0)])
def test_dear_job_is_asked_about_at_a_terminal(
    aws: Place, job: str, monkeypatch: pytest.MonkeyPatch, answer: str, sent: int
):
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    submit_training.main([job, *BUCKET, "--max-usd", "1"])

    assert len(aws.created) == sent


def test_dear_job_is_sent_when_that_was_said_beforehand(aws: Place, job: str):
    assert submit_training.main([job, *BUCKET, "--max-usd", "1", "--yes"]) == 0

    assert len(aws.created) == 1


def test_cheap_job_is_sent_without_a_question(aws: Place, job: str):
    assert submit_training.main([job, *BUCKET]) == 0

    assert len(aws.created) == 1


def test_instance_without_a_price_counts_as_dear(aws: Place, job: str, capsys: pytest.CaptureFixture[str]):
    Path(job).write_text(Path(job).read_text().replace("ml.g5.xlarge", "ml.p5.48xlarge"))

    assert submit_training.main([job, *BUCKET, "--max-usd", "1000"]) == 1

    assert "nobody knows what: prices.toml lacks its instances" in capsys.readouterr().err


def test_time_limit_on_aws_comes_from_an_estimate(aws: Place, job: str, monkeypatch: pytest.MonkeyPatch):
    text = Path(job).read_text().replace("StoppingCondition: {MaxRuntimeInSeconds: 3600}\n", "")
    Path(job).write_text(text)
    measured = Measured(images_per_second=51.2, batch_size=256, mb_per_second=500, cores=2, machine="m", date="d")
    monkeypatch.setattr(measuring, "find", lambda *arguments, afresh: measured)

    assert submit_training.main([job, *BUCKET]) == 0

    # 24 x 196 steps at 0.2 x 125 a second, 24 x 39 looks, start and end; twice that, in whole minutes.
    assert aws.created[0]["StoppingCondition"] == {"MaxRuntimeInSeconds": 960, "MaxWaitTimeInSeconds": 960 + 3600}


def test_job_that_cannot_be_measured_must_say_its_limit(aws: Place, job: str, capsys: pytest.CaptureFixture[str]):
    text = Path(job).read_text().replace("StoppingCondition: {MaxRuntimeInSeconds: 3600}\n", "")
    Path(job).write_text(text.replace(IMAGE, "my/own:1"))

    assert submit_training.main([job, *BUCKET]) == 1

    said = capsys.readouterr().err
    assert "MaxRuntimeInSeconds is missing, and no estimate can stand for it" in said
    assert "the job is my/own:1 with dataset=cifar10" in said


def test_field_that_is_missing_is_told_before_anything_is_measured(
    aws: Place, job: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    text = Path(job).read_text().replace("StoppingCondition: {MaxRuntimeInSeconds: 3600}\n", "")
    Path(job).write_text(text.replace("TrainingInputMode: Pipe", ""))
    monkeypatch.setattr(measuring, "find", lambda *arguments, afresh: pytest.fail("measured"))

    assert submit_training.main([job, *BUCKET]) == 1

    assert capsys.readouterr().err.startswith("error: AlgorithmSpecification.TrainingInputMode is missing")


@pytest.mark.parametrize(("status", "code"), [("Completed", 0), ("Failed", 1), ("Stopped", 2)])
def test_exit_code_is_that_of_the_jobs_status(here: Place, status: str, code: int, capsys: pytest.CaptureFixture[str]):
    here.sagemaker._course = [(status, [("Uploading", "")])]

    assert submit_training.main([JOB, *BUCKET, "--wait"]) == code
    assert f": {status}" in capsys.readouterr().out


def interrupt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    follow, seen = Watch.follow, []

    def interrupted(self: Watch, **limits: float) -> dict[str, Any]:
        if not seen:
            seen.append(True)
            raise KeyboardInterrupt
        return follow(self, **limits)

    monkeypatch.setattr(Watch, "follow", interrupted)


def test_interrupt_leaves_the_job_where_nobody_can_be_asked(
    here: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    interrupt_once(monkeypatch)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert submit_training.main([JOB, *BUCKET, "--wait"]) == 130

    name = here.created[0]["TrainingJobName"]
    assert f"{name} goes on; to stop it: aws sagemaker stop-training-job" in capsys.readouterr().err
    assert here.sagemaker.stopped == []


def test_interrupt_asks_and_stops_the_job_and_waits_for_its_end(here: Place, monkeypatch: pytest.MonkeyPatch):
    interrupt_once(monkeypatch)
    here.sagemaker._course = [("Stopped", [("Stopped", "")])]
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))

    assert submit_training.main([JOB, *BUCKET, "--wait"]) == 2

    assert here.sagemaker.stopped == [here.created[0]["TrainingJobName"]]


@pytest.mark.parametrize(
    ("url", "local"),
    [
        (ON_AWS, False),
        ("https://api.sagemaker-fips.us-gov-west-1.amazonaws.com", False),
        ("https://api.sagemaker.cn-north-1.amazonaws.com.cn", False),
        ("https://vpce-1.api.sagemaker.eu-west-1.vpce.amazonaws.com", False),
        (HERE, True),
        ("http://box.example:4640", True),
        ("http://amazonaws.com.evil.example", True),
    ],
)
def test_only_what_has_none_of_awss_names_counts_as_local(url: str, local: bool):
    sagemaker = SimpleNamespace(meta=SimpleNamespace(endpoint_url=url, region_name="us-east-1"))

    assert Destination(sagemaker=sagemaker, logs=None, s3=None).is_local is local
