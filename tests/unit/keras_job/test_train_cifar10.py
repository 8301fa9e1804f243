"""The whole program on a small job: artifacts, repeatability, resuming, and what a user can get wrong."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import models, saving, train_cifar10
from keras_job.ranks import joined
from trainjob import cifar10, dataset
from trainjob.contract import FILE, PIPE
from trainjob.errors import CheckpointError, HyperparameterError, RecordError
from trainjob.stop import Stop
from trainjob.training import checkpoint, record

from tests.small_job import write_checkpoints_at_once
from tests.stops import StopAfter

pytestmark = pytest.mark.timeout(180)


def small_network(images, classes):
    """One layer of each kind that has a state; to trace the workshop's network takes seconds."""
    hidden = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(images)
    hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(hidden))
    logits = keras.layers.Dense(classes, kernel_constraint=keras.constraints.MaxNorm(2.0))
    return logits(keras.layers.Flatten()(hidden))


@pytest.fixture(autouse=True)
def light(monkeypatch, request):
    """Without drawings and the SavedModel, with a small network: all of them take longer than the training here."""
    if "artifacts" not in request.node.name:
        monkeypatch.setattr(models, "_workshop", small_network)
        monkeypatch.setattr(record, "save_history", lambda *arguments: None)
        monkeypatch.setattr(saving, "export", lambda *arguments: None)


def train(job, stop=None) -> dict[str, np.ndarray]:
    """Everything that the last checkpoint holds."""
    with job.fed() as env:
        train_cifar10.main(env, stop or Stop())
    with np.load(checkpoint.newest(job.paths.checkpoints).path) as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def history(job) -> list[dict[str, float]]:
    with np.load(checkpoint.newest(job.paths.checkpoints).path) as archive:
        return json.loads(archive["progress"].tobytes())["history"]


def test_job_leaves_all_its_artifacts(make_job, capsys):
    job = make_job(mode=PIPE)
    train(job)
    paths = job.paths
    model = keras.models.load_model(paths.model / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    served = tf.saved_model.load(str(paths.model / "1"))
    assert served.serve(pixels).numpy() == pytest.approx(model(pixels).numpy(), abs=1e-5)
    assert list(served.signatures) == ["serve", "serving_default"]
    stored = tf.train.list_variables(str(paths.model / "1/variables/variables"))
    assert len(stored) <= len(model.variables) + 1, "each weight once, and the graph of objects"
    assert json.loads((paths.model / "labels.json").read_text()) == list(cifar10.CLASSES)
    config = json.loads((paths.model / "config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["model"]) == (2, 32, "workshop")
    rows = list(csv.DictReader((paths.output_data / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for name in ("learning-curve.png", "confusion-matrix.png"):
        assert (paths.output_data / name).read_bytes().startswith(b"\x89PNG")
    lines = [line for line in capsys.readouterr().out.splitlines() if "validation:accuracy=" in line]
    assert len(lines) == 2
    assert {path.name for path in paths.model.iterdir()} == {"model.keras", "1", "labels.json", "config.json"}


def test_job_stopped_and_resumed_ends_as_if_never_stopped_whatever_the_input_mode(make_job):
    whole = train(make_job("whole", FILE, crop_padding="2"))
    for batch in (0, 3, 14):
        job = make_job(f"stopped-{batch}", PIPE, crop_padding="2")
        with job.fed() as env:
            train_cifar10.main(env, StopAfter(batch))
        assert not (job.paths.model / "model.keras").exists()
        # One look at the end of an epoch, and two for an evaluation of one batch.
        assert checkpoint.newest(job.paths.checkpoints).step == (batch if batch < 9 else batch - 3)
        resumed = make_job(f"resumed-{batch}", FILE, crop_padding="2")
        shutil.copytree(job.paths.checkpoints, resumed.paths.checkpoints)
        assert equal(train(resumed), whole), batch


@pytest.mark.parametrize("steps_a_call", ["0", "5"])
def test_checkpoint_taken_within_an_epoch_holds_the_state_of_its_step_and_no_later_one(
    make_job, capsys, monkeypatch, steps_a_call
):
    write_checkpoints_at_once(monkeypatch)
    settings = {"crop_padding": "2", "log_steps": "1"}
    between = {"checkpoint_steps": "4", "keep_checkpoints": "9", "steps_per_execution": steps_a_call}
    whole = make_job("whole", PIPE, **between, **settings)
    expected = train(whole)
    losses = step_losses(capsys)
    taken = sorted(whole.paths.checkpoints.glob("*.npz"))
    several = steps_a_call != "0"
    # Five steps a call, and the rest of an epoch's nine in one that comes to its end.
    assert [int(path.stem[-8:]) for path in taken] == ([5, 9, 14, 18] if several else [4, 8, 9, 12, 16, 18])
    assert list(losses) == ([5, 14] if several else list(range(1, 19)))
    for path in taken[:-1]:
        resumed = make_job(f"resumed-{path.stem}", PIPE, **settings)
        resumed.paths.checkpoints.mkdir(parents=True)
        for file in (path, path.with_suffix(".json")):
            shutil.copy(file, resumed.paths.checkpoints)
        assert equal(train(resumed), expected), path.name
        own = step_losses(capsys)
        assert list(own) == list(range(int(path.stem[-8:]) + 1, 19))
        if not several:
            assert own == {step: losses[step] for step in own}
        assert [row["train:loss"] for row in history(resumed)] == [row["train:loss"] for row in history(whole)]


def step_losses(capsys) -> dict[int, str]:
    """What was told of each step, in their order; no step is told twice."""
    lines = [line for line in capsys.readouterr().out.splitlines() if "train:step_loss" in line]
    told = {int(line.split()[0].removeprefix("step=")): line.split()[1] for line in lines}
    assert len(told) == len(lines)
    return told


class StopWithinSecondCall(Stop):
    """A stop that comes between the look at it before the second call and what that call waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0

    def check(self) -> None:
        super().check()
        self._looks += 1
        if self._looks == 2:
            self.request()


def test_stop_between_two_steps_of_one_call_is_gone_on_from_the_very_step(make_job, monkeypatch):
    monkeypatch.setattr(dataset, "BLOCK_BYTES", 6 * 32 * cifar10.RECORD_BYTES)  # what crosses at a time: 6 batches
    settings = {"steps_per_execution": "4", "shuffle_window": "0"}
    whole = train(make_job("whole", FILE, **settings))

    job = make_job("stalled", PIPE, **settings)
    with job.stalled(train=b"".join(job.content["train"])[: 6 * 32 * cifar10.RECORD_BYTES]) as env:
        train_cifar10.main(env, StopWithinSecondCall())
    newest = checkpoint.newest(job.paths.checkpoints)
    assert (newest.step, newest.progress["batch"]) == (6, 6)

    resumed = make_job("resumed", FILE, **settings)
    shutil.copytree(job.paths.checkpoints, resumed.paths.checkpoints)
    assert equal(train(resumed), whole)


def test_several_steps_a_call_give_the_same_weights_as_one(make_job):
    assert equal(train(make_job("one")), train(make_job("four", steps_per_execution="4")))


def test_another_seed_gives_other_weights(make_job):
    jobs = [make_job(seed, seed=seed, epochs="1") for seed in ("1", "2")]
    assert not equal(*(train(job) for job in jobs))


def test_checkpoint_of_another_optimizer_is_refused_with_the_remedy(make_job):
    job = make_job(epochs="1")
    train(job)
    job.hyperparameters["optimizer"] = "sgd"
    told = r"checkpoint-00000009\.npz does not fit this job \(only .* has a variable .*hyperparameters of the job"
    with pytest.raises(CheckpointError, match=told):
        train(job)


def test_job_of_rmsprop_ends_with_its_own_state(make_job):
    job = make_job(optimizer="rmsprop", learning_rate="0.001", epochs="1")
    state = train(job)
    assert any(name.startswith("optimizer/RMSprop/") for name in state)
    rows = history(job)
    assert [row["epoch"] for row in rows] == [1]
    assert 1 < rows[0]["train:loss"] < 5


def test_finished_job_started_again_trains_no_more(make_job):
    job = make_job()
    assert equal(train(job), train(job))
    assert len(history(job)) == 2


def test_fp16_with_its_scale_and_bf16_learn_much_the_same_as_fp32(make_job):
    losses = {}
    for precision in ("fp32", "bf16", "fp16"):
        job = make_job(precision, precision=precision, epochs="1", optimizer="sgd", learning_rate="0.01")
        state = train(job)
        assert any("LossScaleOptimizer-SGD" in name for name in state) == (precision == "fp16")
        assert {value.dtype.kind for name, value in state.items() if name.startswith("model/")} <= {"f", "u", "i"}
        losses[precision] = history(job)[0]["train:loss"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert len(set(losses.values())) == 3


def test_damaged_record_in_the_stream_is_our_error_and_not_tensorflows(make_job):
    job = make_job(mode=PIPE)
    spoilt = bytearray(job.content["train"][1])
    spoilt[5 * cifar10.RECORD_BYTES] = 200
    job.content["train"][1] = bytes(spoilt)
    with job.fed() as env, pytest.raises(RecordError, match="'train', epoch 0: Record 155 has label 200"):
        train_cifar10.main(env, Stop())


def test_all_bad_hyperparameters_are_told_at_once(make_job):
    job = make_job(epochz="3", learning_rate="fast")
    with pytest.raises(HyperparameterError, match=r"(?s)epochz.*epochs.*learning_rate.*fast"):
        train(job)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "0"),
        ("warmup", "1"),
        ("momentum", "1.5"),
        ("crop_padding", "40"),
        ("steps_per_execution", "-1"),
        ("gradient_accumulation", "0"),
    ],
)
def test_hyperparameter_out_of_range_is_told_with_its_value(make_job, name, value):
    with pytest.raises(HyperparameterError, match=f"'{name}' is {value}.*it must be"):
        train(make_job(**{name: value}))


def test_statistics_of_all_hosts_are_not_to_be_had_of_pieces(make_job):
    told = "'sync_batch_norm' is True; it must be false where gradient_accumulation is above 1"
    with pytest.raises(HyperparameterError, match=told):
        train(make_job(sync_batch_norm="true", gradient_accumulation="2"))


def test_program_on_a_host_of_several_gpus_says_that_it_uses_one_and_takes_no_other(make_job, monkeypatch, caplog):
    gpus, seen = [f"GPU:{number}" for number in range(8)], []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: seen.extend(devices))
    with caplog.at_level("WARNING"), joined(make_job().environment(), Stop()) as (ranks, _):
        assert ranks.count == 1
    assert seen == ["GPU:0"]
    assert "this host has 8 GPUs, of which one is used: a process for each" in caplog.text
