import io
import json
from pathlib import Path
from typing import Any

import pytest

from scripts import tune
from scripts.submitting import destination, measuring, uploading
from scripts.submitting.destination import Destination
from scripts.submitting.measuring import Measured
from tests.unit.scripts.tuning.fake_tuning import HERE, ON_AWS, ROOT, FakeSageMaker, place, summary

SWEEP = ROOT / "examples" / "tuning" / "pytorch-cifar10.yaml"
BUCKET = ("--bucket", "s3://mine/vision")
ROLE = "arn:aws:iam::123456789012:role/trainer"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/vision-training-pytorch:1"
GOOD = [summary(number, value=number / 10) for number in range(1, 7)]


def led(monkeypatch: pytest.MonkeyPatch, sagemaker: FakeSageMaker, **logs: list[str]) -> None:
    found: Destination = place(sagemaker, **logs)
    monkeypatch.setattr(destination, "find", lambda: found)
    monkeypatch.setenv("SAGEMAKER_ROLE_ARN", ROLE)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    sagemaker = FakeSageMaker(("Completed", GOOD))
    led(monkeypatch, sagemaker)
    return sagemaker


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    sagemaker = FakeSageMaker(("Completed", GOOD), url=ON_AWS)
    led(monkeypatch, sagemaker)
    return sagemaker


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    """A sweep of six trials that may run an hour each, at 1.408 USD."""
    path = tmp_path / "mine.yaml"
    text = SWEEP.read_text().replace("TrainingImage: pytorch", f"TrainingImage: {IMAGE}")
    path.write_text(f"{text}  StoppingCondition: {{MaxRuntimeInSeconds: 3600}}\n")
    return str(path)


def test_sweep_is_sent_followed_and_left_in_files(
    here: FakeSageMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "named.yaml").write_text(f"HyperParameterTuningJobName: sweep\n{SWEEP.read_text()}")
    command = [str(tmp_path / "named.yaml"), *BUCKET, "--output", str(tmp_path), "--set", "epochs=2"]

    assert tune.main(command) == 0

    (request,) = here.created
    assert request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] == "2"
    assert request["TrainingJobDefinition"]["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400}
    said = capsys.readouterr().out
    assert f"sweep: Bayesian, 6 trials, 2 at a time, the endpoint at {HERE}" in said
    assert "sweep: Bayesian, Completed, 6 of 6 trials; best validation:accuracy = 0.6: trial 6" in said
    assert f"next    make submit JOB={tmp_path / 'sweep' / 'best.yaml'} BUCKET=s3://..." in said
    assert (tmp_path / "sweep" / "sweep.html").exists()


def test_dry_run_prints_the_request_and_sends_nothing(here: FakeSageMaker, capsys: pytest.CaptureFixture[str]):
    assert tune.main([str(SWEEP), *BUCKET, "--dry-run"]) == 0

    printed = json.loads(capsys.readouterr().out)
    source = printed["TrainingJobDefinition"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://mine/vision/cifar10/train/"
    assert here.created == []


def test_sweep_is_sent_and_left_alone_when_nobody_waits(here: FakeSageMaker, tmp_path: Path):
    assert tune.main([str(SWEEP), *BUCKET, "--no-wait", "--output", str(tmp_path)]) == 0

    assert len(here.created) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "code"), [("Completed", 0), ("Failed", 1), ("Stopped", 2)])
def test_exit_code_is_that_of_the_sweeps_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: str, code: int
):
    led(monkeypatch, FakeSageMaker((status, GOOD)))

    assert tune.main([str(SWEEP), *BUCKET, "--output", str(tmp_path)]) == code
    assert f", {status}, 6 of 6 trials" in capsys.readouterr().out


def test_metric_that_is_not_in_the_log_is_told_and_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sagemaker = FakeSageMaker(("InProgress", [summary(1)]), ("Stopped", [summary(1)]))
    led(monkeypatch, sagemaker, sweep_001_0123abcd=["val_acc: 0.31", "validation accuracy is 0.31"])

    assert tune.main([str(SWEEP), *BUCKET, "--output", str(tmp_path)]) == 1

    said = capsys.readouterr().out
    assert "should have matched  validation accuracy is 0.31\n" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("HyperParameterTuningJobConfi: {}\n", r"no field 'HyperParameterTuningJobConfi'; did you mean"),
        ("TrainingJobDefinition: {AlgorithmSpecification: {TrainingImag: a}}\n", "did you mean TrainingImage?"),
        ("a: [\n", "is no YAML"),
        ("[]\n", "it must be a map of CreateHyperParameterTuningJob's fields, as in examples/tuning"),
    ],
)
def test_mistyped_sweep_is_refused_before_anything_is_sent(
    here: FakeSageMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
):
    (tmp_path / "sweep.yaml").write_text(text)

    assert tune.main([str(tmp_path / "sweep.yaml")]) == 1

    assert said in capsys.readouterr().err
    assert here.created == []


def test_cost_is_that_of_all_trials_and_is_asked_about(
    aws: FakeSageMaker, sweep: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert tune.main([sweep, *BUCKET, "--max-usd", "5"]) == 1

    # An hour and its start-up at 1.408 USD, six times.
    assert "The sweep may cost up to 9.01 USD" in capsys.readouterr().err
    assert aws.created == []


def test_role_and_agreement_that_are_typed_are_taken(aws: FakeSageMaker, sweep: str, tmp_path: Path):
    typed = "arn:aws:iam::123456789012:role/typed"

    assert tune.main([sweep, *BUCKET, "--yes", "--role", typed, "--output", str(tmp_path)]) == 0

    assert aws.created[0]["TrainingJobDefinition"]["RoleArn"] == typed


def test_time_limit_of_trials_on_aws_comes_from_an_estimate(
    aws: FakeSageMaker, sweep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    measured = Measured(images_per_second=51.2, batch_size=64, mb_per_second=500, cores=2, machine="m", date="d")

    def find(request: dict[str, Any], *_: Any, afresh: bool) -> Measured:
        seen.append(request["HyperParameters"])
        return measured

    monkeypatch.setattr(measuring, "find", find)
    Path(sweep).write_text(Path(sweep).read_text().replace("  StoppingCondition: {MaxRuntimeInSeconds: 3600}\n", ""))

    assert tune.main([sweep, *BUCKET, "--yes", "--output", str(tmp_path)]) == 0

    assert [each["batch_size"] for each in seen] == ["64"]
    assert aws.created[0]["TrainingJobDefinition"]["StoppingCondition"]["MaxRuntimeInSeconds"] == 900


def test_data_are_brought_to_the_channels_before_the_sweep_is_sent(
    here: FakeSageMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    order: list[str] = []
    monkeypatch.setattr(uploading, "plan", lambda request, folder: order.append(request["HyperParameters"]["model"]))
    monkeypatch.setattr(uploading, "upload", lambda *_: order.append(f"after {len(here.created)} sent") or 3)

    assert tune.main([str(SWEEP), *BUCKET, "--upload", str(tmp_path), "--output", str(tmp_path)]) == 0

    assert order == ["net", "after 0 sent"]
