import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_mode.endpoint import Endpoint, Files
from local_mode.errors import LocalModeError
from scripts import local_tune
from scripts.datasets import cifar10
from scripts.datasets.shards import Sharding
from scripts.submitting import destination, uploading
from scripts.tuning import endpoint as module
from scripts.tuning.endpoint import led
from scripts.tuning.sweep import Order
from tests.unit.scripts.tuning.fake_tuning import FakeSageMaker, place, summary

FOUND = Endpoint(pid=1, url="http://127.0.0.1:4640", region="us-east-1", access_key="LOCAL", secret="s")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10, drawn and prepared."""
    folder = tmp_path_factory.mktemp("drawn") / "cifar10"
    cifar10.prepare(cifar10.Drawn(), folder, Sharding())
    return folder


def order(*typed: str) -> Order:
    return local_tune.order_of(local_tune._parse(list(typed)))


def test_without_arguments_it_is_the_workshops_plan(data: Path, tmp_path: Path):
    made = order("--data", str(data), "--state", str(tmp_path))

    limits = made.document["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits == {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2}
    assert made.document["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] == "pytorch"
    assert made.document["Tags"] == [{"Key": "local_mode:start", "Value": "fork"}]
    assert made.upload == data.resolve()
    assert made.bucket.startswith("s3://local-tune/cifar10-")


def test_trials_are_forked_unless_the_file_says_otherwise():
    assert local_tune.forked({"Tags": [{"Key": "a", "Value": "b"}]})["Tags"] == [
        {"Key": "a", "Value": "b"},
        {"Key": "local_mode:start", "Value": "fork"},
    ]
    alone = {"Tags": [{"Key": "local_mode:start", "Value": "alone"}]}
    assert local_tune.forked(alone) == alone


def test_static_hyperparameters_and_another_file_can_be_given(data: Path, tmp_path: Path):
    sweep = local_tune.SWEEPS / "keras-cifar10.yaml"

    made = order("--data", str(data), "--sweep", str(sweep), "--hyperparameters", "epochs=7")

    assert made.base_name == "keras-cifar10"
    assert made.document["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] == "7"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--framework", "jax"), "FRAMEWORK=jax is unknown; it can be: pytorch, keras"),
        (("--dataset", "mnist"), "DATASET=mnist is unknown"),
        (("--runtime", "podman"), "RUNTIME=podman is unknown"),
        (("--hyperparameters", "epochs"), "HP holds 'epochs', which is not key=value"),
    ],
)
def test_argument_that_is_unknown_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], said: str
):
    monkeypatch.setattr(local_tune, "find_data", lambda *_: pytest.fail("prepared data"))

    assert local_tune.main(typed) == 1
    assert said in capsys.readouterr().err


def test_sweep_runs_while_the_endpoint_is_up(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    up: list[tuple[str, ...]] = []

    @contextlib.contextmanager
    def is_up(state: Path, arguments: tuple[str, ...]) -> Iterator[None]:
        up.append(arguments)
        yield
        up.clear()

    sagemaker = FakeSageMaker(("Completed", [summary(1, value=0.5)]))
    monkeypatch.setattr(local_tune, "led", is_up)
    monkeypatch.setattr(local_tune, "made_ready", lambda *_: ("--runtime", "process"))
    monkeypatch.setattr(uploading, "upload", lambda *_: len(up))
    found = place(sagemaker)
    monkeypatch.setattr(destination, "find", lambda: found if up else pytest.fail("there is no endpoint"))

    assert local_tune.main(["--data", str(data), "--state", str(tmp_path)]) == 0

    assert up == []
    uri = sagemaker.created[0]["TrainingJobDefinition"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert uri.endswith("/cifar10/train/")
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert (folder / "best.yaml").exists()


def test_endpoint_that_runs_is_used_and_left_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "ca.pem").write_text("a certificate")
    monkeypatch.setattr(module, "find", lambda files: FOUND)
    monkeypatch.setattr(module, "launch", lambda *_, **__: pytest.fail("started another"))
    monkeypatch.setattr(module, "end", lambda *_: pytest.fail("ended it"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    with led(tmp_path, ()):
        assert os.environ["AWS_ENDPOINT_URL"] == FOUND.url
        assert "AWS_PROFILE" not in os.environ

    assert os.environ["AWS_PROFILE"] == "mine"
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_endpoint_is_there_for_the_time_of_a_sweep_and_no_longer(tmp_path: Path):
    before = dict(os.environ)

    with led(tmp_path, ("--runtime", "process")):
        found = destination.find()
        assert found.is_local
        assert found.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []

    assert dict(os.environ) == before
    with pytest.raises(LocalModeError, match="No endpoint runs"):
        module.find(Files(root=tmp_path))
