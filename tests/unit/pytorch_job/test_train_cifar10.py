"""The whole program on a small job: artifacts, repeatability, resuming, and what a user can get wrong."""

import csv
import json

import pytest
import torch
from pytorch_job import models, train_cifar10
from trainjob import checkpoint, cifar10
from trainjob.contract import FAST_FILE, FILE, PIPE
from trainjob.errors import CheckpointError, HyperparameterError
from trainjob.stop import Stop

pytestmark = pytest.mark.timeout(120)


def train(job, stop=None) -> dict[str, torch.Tensor]:
    with job.fed() as env:
        train_cifar10.main(env, stop or Stop())
    return torch.load(job.paths.model / "weights.pt", weights_only=True)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def history(job) -> list[dict[str, str]]:
    return list(csv.DictReader((job.paths.output_data / "history.csv").read_text().splitlines()))


class StopAfter(Stop):
    """A stop that comes once it has been looked at so many times; the program looks before every batch."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def requested(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.mark.timeout(400)  # resnet on a busy machine
@pytest.mark.parametrize("model", ["net", "resnet"])
def test_job_leaves_weights_labels_config_rows_and_a_picture(make_job, capsys, model):
    job = make_job(model=model)
    weights = train(job)
    models.build(model).load_state_dict(weights)
    assert json.loads((job.paths.model / "labels.json").read_text()) == list(cifar10.CLASSES)
    config = json.loads((job.paths.model / "config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["model"]) == (2, 32, model)
    rows = history(job)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for name in ("learning-curve.png", "confusion-matrix.png"):
        assert (job.paths.output_data / name).read_bytes().startswith(b"\x89PNG")
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation:accuracy=" in line]
    assert len(lines) == 2


def test_every_input_mode_gives_the_same_weights_to_the_bit(make_job):
    weights = [train(make_job(mode, mode)) for mode in (FILE, FAST_FILE, PIPE)]
    assert equal(weights[0], weights[1])
    assert equal(weights[0], weights[2])


def test_another_seed_gives_other_weights(make_job):
    assert not equal(train(make_job("one", seed="1")), train(make_job("two", seed="2")))


@pytest.mark.parametrize("batch", [0, 3, 9, 14])
def test_job_stopped_at_any_batch_and_resumed_ends_as_if_never_stopped(make_job, batch):
    job = make_job("stopped", crop_padding="2")
    with job.fed() as env:
        train_cifar10.main(env, StopAfter(batch))
    assert not (job.paths.model / "weights.pt").exists()
    evaluations = batch // 10  # of one batch each, after 9 steps; the program looks there too
    assert checkpoint.newest(job.paths.checkpoints).step == batch - evaluations
    assert equal(train(job), train(make_job("whole", crop_padding="2")))


def test_checkpoint_of_another_model_is_refused_with_the_remedy(make_job):
    job = make_job()
    train(job)
    job.hyperparameters["model"] = "resnet"
    with pytest.raises(
        CheckpointError, match=r"checkpoint-00000018\.pt does not fit this job .* hyperparameters of the job"
    ):
        train(job)


def test_finished_job_started_again_trains_no_more(make_job):
    job = make_job()
    assert equal(train(job), train(job))
    assert len(history(job)) == 2


def test_all_bad_hyperparameters_are_told_at_once(make_job):
    job = make_job(epochz="3", learning_rate="fast")
    with pytest.raises(
        HyperparameterError, match=r"(?s)epochz.*epochs.*learning_rate.*fast|learning_rate.*fast.*epochz.*epochs"
    ):
        train(job)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", "0"), ("warmup", "1"), ("momentum", "1.5"), ("crop_padding", "40"), ("learning_rate", "-1")],
)
def test_hyperparameter_out_of_range_is_told_with_its_value(make_job, name, value):
    with pytest.raises(HyperparameterError, match=f"'{name}' is {value}.*it must be"):
        train(make_job(**{name: value}))


def test_compiling_without_a_compiler_is_refused_with_the_remedy(make_job, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HyperparameterError, match="'compile' is true, but this machine has no C compiler"):
        train(make_job(compile="true"))
