"""The whole program on a small job: artifacts, repeatability, resuming, and what a user can get wrong."""

import csv
import json
import shutil

import pytest
import torch
from pytorch_job import models, train_cifar10
from pytorch_job.ranks import joined
from trainjob import cifar10
from trainjob.contract import FAST_FILE, FILE, PIPE
from trainjob.errors import CheckpointError, HyperparameterError
from trainjob.stop import Stop
from trainjob.training import checkpoint

from tests.small_job import write_checkpoints_at_once

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


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_checkpoint_taken_within_an_epoch_holds_the_state_of_its_step_and_no_later_one(
    make_job, capsys, monkeypatch, optimizer
):
    write_checkpoints_at_once(monkeypatch)
    settings = {"optimizer": optimizer, "crop_padding": "2", "log_steps": "1"}
    whole = make_job("whole", PIPE, checkpoint_steps="4", keep_checkpoints="9", **settings)
    expected = train(whole)
    losses = step_losses(capsys)
    assert list(losses) == list(range(1, 19))
    taken = sorted(whole.paths.checkpoints.glob("*.pt"))
    assert [int(path.stem[-8:]) for path in taken] == [4, 8, 9, 12, 16, 18]
    for path in taken[:-1]:
        resumed = make_job(f"resumed-{path.stem}", PIPE, **settings)
        resumed.paths.checkpoints.mkdir(parents=True)
        for file in (path, path.with_suffix(".json")):
            shutil.copy(file, resumed.paths.checkpoints)
        assert equal(train(resumed), expected), path.name
        assert step_losses(capsys) == {step: loss for step, loss in losses.items() if step > int(path.stem[-8:])}
        assert [row["train:loss"] for row in history(resumed)] == [row["train:loss"] for row in history(whole)]


def step_losses(capsys) -> dict[int, str]:
    """What was told of each step, in their order; no step is told twice."""
    lines = [line for line in capsys.readouterr().out.splitlines() if "train:step_loss" in line]
    told = {int(line.split()[0].removeprefix("step=")): line.split()[1] for line in lines}
    assert len(told) == len(lines)
    return told


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
    [
        ("epochs", "0"),
        ("warmup", "1"),
        ("momentum", "1.5"),
        ("crop_padding", "40"),
        ("learning_rate", "-1"),
        ("gradient_accumulation", "0"),
        ("keep_checkpoints", "0"),
    ],
)
def test_hyperparameter_out_of_range_is_told_with_its_value(make_job, name, value):
    with pytest.raises(HyperparameterError, match=f"'{name}' is {value}.*it must be"):
        train(make_job(**{name: value}))


def test_statistics_of_all_hosts_are_not_to_be_had_of_pieces(make_job):
    told = "'sync_batch_norm' is True; it must be false where gradient_accumulation is above 1"
    with pytest.raises(HyperparameterError, match=told):
        train(make_job(sync_batch_norm="true", gradient_accumulation="2"))


def test_compiling_without_a_compiler_is_refused_with_the_remedy(make_job, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HyperparameterError, match="'compile' is true, but this machine has no C compiler"):
        train(make_job(compile="true"))


def test_program_on_a_host_of_several_gpus_says_that_it_uses_one(make_job, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    with caplog.at_level("WARNING"), joined(make_job().environment(), torch.device("cuda"), Stop()) as ranks:
        assert ranks.count == 1
    assert "this host has 8 GPUs, of which one is used: a process for each" in caplog.text
