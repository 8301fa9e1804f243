"""The whole program on a few photographs: artifacts, repeatability, resuming, weights brought along, bad input."""

import csv
import json
import logging
import re
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import models, saving, train_cub200, training
from trainjob import cub200, metrics
from trainjob.contract import FAST_FILE, FILE, PIPE
from trainjob.errors import ChannelError, CheckpointError, HyperparameterError, PhotographError, RecordError
from trainjob.photographs import dali_pipelines
from trainjob.stop import Stop
from trainjob.training import checkpoint

from tests.photograph_job import CLASSES, STEPS, TRAIN, PhotographJob, birds
from tests.stops import StopAfter
from tests.unit.trainjob.jpegs import hollow

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def make_job(tmp_path):
    return lambda name="job", mode=FILE, **settings: PhotographJob(tmp_path / name, mode, **settings)


def small_network(images):
    """One layer of each kind that has a state; to trace ResNet-18 takes seconds."""
    hidden = keras.layers.Conv2D(8, 5, strides=4, activation="relu")(images)
    hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(hidden))
    return keras.layers.GlobalAveragePooling2D()(hidden)


@pytest.fixture(autouse=True)
def _light(monkeypatch, request):
    """Without drawings and the SavedModel, with a small network: all of them take longer than the training here."""
    monkeypatch.setattr(models, "_resnet18", small_network)
    if "artifacts" not in request.node.name:
        monkeypatch.setattr(train_cub200.record, "save_history", lambda *arguments: None)
        monkeypatch.setattr(train_cub200.evaluation, "save", lambda *arguments: None)
        monkeypatch.setattr(saving, "export", lambda *arguments: None)


def train(job, stop=None) -> dict[str, np.ndarray]:
    """Everything that the last checkpoint holds."""
    with job.fed() as env:
        train_cub200.main(env, stop or Stop())
    return state(job)


def state(job) -> dict[str, np.ndarray]:
    with np.load(checkpoint.newest(job.paths.checkpoints).path) as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def progress(job) -> dict:
    with np.load(checkpoint.newest(job.paths.checkpoints).path) as archive:
        return json.loads(archive["progress"].tobytes())


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def measured(job) -> list[dict[str, float]]:
    """Every epoch's row without its times."""
    return [{key: value for key, value in row.items() if ":" in key} for row in progress(job)["history"]]


def test_job_leaves_all_its_artifacts(make_job, capsys):
    job = make_job(epochs="2")
    job.photographs["test"] = birds(5, 3)
    train(job)
    paths = job.paths
    model = keras.models.load_model(paths.model / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    served = tf.saved_model.load(str(paths.model / "1"))
    assert served.serve(pixels).numpy() == pytest.approx(model(pixels).numpy(), abs=1e-5)
    assert list(served.signatures) == ["serve", "serving_default"]
    stored = tf.train.list_variables(str(paths.model / "1/variables/variables"))
    assert len(stored) <= len(model.variables) + 1, "each weight once, and the graph of objects"
    assert json.loads((paths.model / "labels.json").read_text()) == list(CLASSES)
    config = json.loads((paths.model / "config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["model"], config["image_size"]) == (2, 8, "auto", 32)
    rows = list(csv.DictReader((paths.output_data / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert "validation:top5_accuracy" in rows[0]
    evaluated = json.loads((paths.output_data / "evaluation.json").read_text())
    assert (evaluated["split"], evaluated["photographs"]) == ("test", 5)
    for name in ("learning-curve.png", "confusion-matrix.png", "worst-mistakes.png"):
        assert (paths.output_data / name).read_bytes().startswith(b"\x89PNG")
    assert (paths.output_data / "per-class.csv").read_text().count("\n") == 3
    out = capsys.readouterr().out
    found = {each["Name"]: re.findall(each["Regex"], out) for each in metrics.definitions(cub200.METRICS)}
    assert {name: len(values) for name, values in found.items()} == {
        name: 1 if name.startswith("test:") else 2 for name in cub200.METRICS
    }
    assert set(re.findall(r"\S+:\S+(?==)", out)) == set(cub200.METRICS), "what is not declared is not seen"
    assert found["validation:top5_accuracy"] == ["1", "1"]
    assert float(found["test:accuracy"][0]) == pytest.approx(evaluated["test:accuracy"], rel=1e-5)
    assert {path.name for path in paths.model.iterdir()} == {"model.keras", "1", "labels.json", "config.json"}


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_every_input_mode_gives_the_same_weights_and_metrics_to_the_bit(make_job, cache):
    jobs = [make_job(mode, mode, cache=cache) for mode in (FILE, FAST_FILE, PIPE)]
    weights = [train(job) for job in jobs]
    assert equal(weights[0], weights[1])
    assert equal(weights[0], weights[2])
    assert measured(jobs[0]) == measured(jobs[1]) == measured(jobs[2])


def test_another_seed_gives_other_weights(make_job):
    assert not equal(*(train(make_job(seed, seed=seed, epochs="1")) for seed in ("1", "2")))


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        (PIPE, {}),
        (FILE, {"cache": "decoded", "optimizer": "adam", "learning_rate": "0.001", "schedule": "cosine"}),
    ],
)
def test_job_stopped_within_an_epoch_and_resumed_ends_as_if_never_stopped(make_job, mode, settings):
    whole = train(make_job("whole", mode, **settings))
    # The program looks before each batch, at the end of an epoch, and before each of the evaluation, which has one.
    for looks, step in ((2, 2), (STEPS + 3, STEPS + 1)):
        job = make_job(f"stopped-{looks}", mode, **settings)
        with job.fed() as env:
            train_cub200.main(env, StopAfter(looks))
        assert not (job.paths.model / "model.keras").exists()
        assert checkpoint.newest(job.paths.checkpoints).step == step
        resumed = make_job(f"resumed-{looks}", mode, **settings)  # another container has nothing but the checkpoints
        resumed.paths.base.mkdir()
        shutil.copytree(job.paths.checkpoints, resumed.paths.checkpoints)
        assert equal(train(resumed), whole), looks


def test_finished_job_started_again_trains_no_more(make_job):
    job = make_job()
    assert equal(train(job), train(job))
    assert len(progress(job)["history"]) == 2


def test_checkpoint_of_another_optimizer_is_refused_with_the_remedy(make_job):
    job = make_job(epochs="1")
    train(job)
    job.hyperparameters["optimizer"] = "adam"
    with pytest.raises(CheckpointError, match=r"checkpoint-00000003\.npz does not fit this job .* hyperparameters of"):
        train(job)


def test_schedules_differ_and_both_end_at_nothing(make_job, monkeypatch):
    seen: list[float] = []
    advance = training.Trainer._train_steps

    def noted(trainer, batches, first, rates):
        done = int(trainer._done)
        advance(trainer, batches, first, rates)
        if int(trainer._done) > done:
            seen.append(float(rates[0]))

    monkeypatch.setattr(training.Trainer, "_train_steps", noted)
    for schedule in ("one_cycle", "cosine"):
        train(make_job(schedule, schedule=schedule, warmup="0.5", learning_rate="0.02"))
    rates = {"one_cycle": seen[: 2 * STEPS], "cosine": seen[2 * STEPS :]}
    for seen in rates.values():
        assert len(seen) == 2 * STEPS
        # The first epoch's length is cub200's until it is known, so that its rates hardly rise.
        assert seen[:STEPS] == pytest.approx([0.002] * STEPS, rel=0.05)
        assert seen[STEPS] == max(seen) == pytest.approx(0.02)
        assert seen[STEPS:] == sorted(seen[STEPS:], reverse=True)
    assert rates["cosine"][4] > rates["one_cycle"][4]
    assert rates["cosine"][-1] < rates["one_cycle"][-1]


# --- weights brought along ------------------------------------------------------------------------


def network(classes: int = 2) -> keras.Model:
    """Weights that no job begins with."""
    keras.utils.set_random_seed(99)
    model = models.photograph_model("resnet18", classes, 32)
    for variable in model.trainable_variables:
        variable.assign_add(np.full(variable.shape, 0.01))
    return model


def saved(model: keras.Model, tmp_path, name: str = "best.weights.h5") -> bytes:
    (model.save if name.endswith(".keras") else model.save_weights)(tmp_path / name)
    return (tmp_path / name).read_bytes()


def given(make_job, content: bytes, file: str = "best.weights.h5", **settings) -> PhotographJob:
    job = make_job(**settings)
    job.files["pretrained"] = {file: content}
    return job


def trained(job) -> keras.Model:
    """What the job made of its model."""
    train(job)
    return keras.models.load_model(job.paths.model / "model.keras")


def kernels(model: keras.Model) -> list[np.ndarray]:
    return [np.array(variable) for variable in model.trainable_variables if len(variable.shape) > 1]


@pytest.mark.parametrize("file", ["best.weights.h5", "deep/best.keras"])
def test_pretrained_body_is_loaded_and_its_head_replaced(make_job, tmp_path, caplog, file):
    caplog.set_level(logging.INFO)
    brought = network(classes=5)
    content = saved(brought, tmp_path, file.rpartition("/")[2])
    model = trained(given(make_job, content, file, learning_rate="1e-12"))
    (body, head), (expected, _) = kernels(model), kernels(brought)
    assert body == pytest.approx(expected, abs=1e-6)
    assert head.shape == (8, 2)
    assert "; fresh: logits" in caplog.text
    assert cub200.OVERLAP in caplog.text


def test_pretrained_head_of_as_many_classes_is_kept(make_job, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    brought = network()
    model = trained(given(make_job, saved(brought, tmp_path), learning_rate="1e-12"))
    for found, expected in zip(kernels(model), kernels(brought), strict=True):
        assert found == pytest.approx(expected, abs=1e-6)
    assert "weights from best.weights.h5; head included" in caplog.text


def test_model_of_a_finished_job_is_what_the_next_one_begins_with(make_job):
    first = make_job("first", epochs="1")
    before = trained(first)
    second = given(make_job, (first.paths.model / "model.keras").read_bytes(), "model.keras", learning_rate="1e-12")
    for found, expected in zip(kernels(trained(second)), kernels(before), strict=True):
        assert found == pytest.approx(expected, abs=1e-6)


def test_resumed_job_goes_on_from_its_checkpoint_and_not_from_what_it_was_given(make_job, tmp_path):
    content = saved(network(), tmp_path)
    whole = train(given(make_job, content, name="whole"))
    job = given(make_job, content, name="stopped")
    with job.fed() as env:
        train_cub200.main(env, StopAfter(2))
    assert equal(train(job), whole)


def test_without_a_pretrained_channel_nothing_is_said_of_overlap(make_job, caplog):
    caplog.set_level(logging.INFO)
    train(make_job(epochs="1"))
    assert "ImageNet" not in caplog.text


def test_head_moves_as_many_times_as_far_as_its_factor(make_job, tmp_path):
    brought = network()
    content, start = saved(brought, tmp_path), [np.array(each) for each in brought.variables]
    settings = {"weight_decay": "0", "momentum": "0", "learning_rate": "1e-2"}
    moved = {}
    for factor in ("1", "10"):
        job = given(make_job, content, name=factor, head_factor=factor, **settings)
        with job.fed() as env:
            train_cub200.main(env, StopAfter(1))  # after one step, as later ones begin elsewhere
        after = state(job)
        moved[factor] = [after[f"model/{index:03}"] - each for index, each in enumerate(start)]
    for variable, one, ten in zip(brought.variables, moved["1"], moved["10"], strict=True):
        if variable.trainable and np.abs(one).max() > 0:
            ratio = np.linalg.norm(ten) / np.linalg.norm(one)
            assert ratio == pytest.approx(10 if "logits" in variable.path else 1, rel=0.01), variable.path
    assert all(np.abs(each).max() > 0 for each in moved["1"][-2:])


def test_weights_of_another_network_are_refused(make_job, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(models, "_resnet18", lambda images: small_network(keras.layers.Conv2D(5, 3)(images)))
        content = saved(network(), tmp_path)
    text = r"best\.weights\.h5 of channel 'pretrained' is damaged or of another network \(.*\); give the weights of the"
    with pytest.raises(ChannelError, match=text):
        train(given(make_job, content))


def test_nothing_of_a_model_file_but_its_weights_is_read(make_job, tmp_path):
    brought = network()
    saved(brought, tmp_path, "best.keras")
    with zipfile.ZipFile(tmp_path / "best.keras") as archive, zipfile.ZipFile(tmp_path / "evil.keras", "w") as evil:
        evil.writestr("config.json", '{"module": "builtins", "class_name": "exec", "config": {}}')
        evil.writestr("model.weights.h5", archive.read("model.weights.h5"))
    model = trained(given(make_job, (tmp_path / "evil.keras").read_bytes(), "evil.keras", learning_rate="1e-12"))
    assert kernels(model)[0] == pytest.approx(kernels(brought)[0], abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"hello there", b"PK\x03\x04" + bytes(99), b"\x89HDF\r\n\x1a\n" + bytes(99)])
@pytest.mark.parametrize("file", ["best.keras", "best.weights.h5", "best.h5"])
def test_damaged_file_of_weights_is_refused_by_name(make_job, file, content):
    with pytest.raises(ChannelError, match=rf"{file} of channel 'pretrained' is damaged or of another network \(\w+: "):
        train(given(make_job, content, file))


@pytest.mark.parametrize("files", [{}, {"a.h5": b"", "b.keras": b""}, {"readme.txt": b""}])
def test_channel_without_one_file_of_weights_is_refused(make_job, files):
    job = make_job()
    job.files["pretrained"] = files
    count = sum(not name.endswith(".txt") for name in files)
    with pytest.raises(ChannelError, match=rf"'pretrained' holds {count} files of weights .* must hold one"):
        train(job)


# --- bad input ------------------------------------------------------------------------------------


def test_unknown_model_is_told_with_near_names(make_job):
    with pytest.raises(HyperparameterError, match="'model' is 'ResNet51', .* it has 40, like .*ResNet50"):
        train(make_job(model="ResNet51"))


def test_images_that_a_model_cannot_take_are_refused_before_the_first_step(make_job):
    with pytest.raises(HyperparameterError, match=r"InceptionV3 cannot be made for images of 32 px .*image_size"):
        train(make_job(model="InceptionV3"))


@pytest.mark.parametrize("spoil", [lambda content: content[:200], lambda content: b"", lambda content: b"GIF89a"])
@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_corrupt_photograph_ends_the_job_and_is_named_by_its_key(make_job, mode, spoil):
    job = make_job(mode=mode)
    key = list(job.photographs["train"])[9]
    content, label = job.photographs["train"][key]
    job.photographs["train"][key] = spoil(content), label
    with pytest.raises(PhotographError, match=rf"Channel 'train': '{re.escape(key)}' .*on_corrupt=drop"):
        train(job)


def test_photograph_that_only_the_decoder_finds_corrupt_is_named(make_job):
    job = make_job()
    key = list(job.photographs["train"])[9]
    content, label = job.photographs["train"][key]
    job.photographs["train"][key] = hollow(np.frombuffer(content, np.uint8)).tobytes(), label
    with pytest.raises(PhotographError, match=rf"Channel 'train': '{re.escape(key)}' .*on_corrupt=drop"):
        train(job)


@pytest.mark.parametrize("cache", ["none", "decoded"])
def test_corrupt_photographs_are_left_out_alone_and_counted(make_job, capsys, cache):
    job = make_job(on_corrupt="drop", cache=cache)
    for key in list(job.photographs["train"])[3:6]:
        content, label = job.photographs["train"][key]
        job.photographs["train"][key] = content[:200], label
    train(job)
    lines = [line for line in capsys.readouterr().out.splitlines() if "train:loss" in line]
    assert [re.findall(r"dropped=(\d+)", line) for line in lines] == [["3"], ["3"]]
    assert progress(job)["epoch_records"] == TRAIN - 3


def test_channel_of_which_nothing_can_be_decoded_is_one_clear_error(make_job):
    job = make_job(on_corrupt="drop")
    job.photographs["train"] = {key: (content[:200], label) for key, (content, label) in birds(TRAIN, 1).items()}
    with pytest.raises(PhotographError, match=rf"Channel 'train': none of its {TRAIN} photographs can be decoded"):
        train(job)


@pytest.mark.parametrize("mode", [FILE, PIPE])
def test_label_outside_the_classes_is_told_with_its_photograph(make_job, mode):
    job = make_job(mode=mode)
    key = next(iter(job.photographs["validation"]))
    job.photographs["validation"][key] = job.photographs["validation"][key][0], 2
    with pytest.raises(
        RecordError, match=rf"'validation': '{re.escape(key)}' has the label 2, but there are 2 classes"
    ):
        train(job)


def test_dali_is_refused_where_it_cannot_be_loaded(make_job, monkeypatch):
    monkeypatch.setattr(dali_pipelines, "why_not", lambda: "ImportError: no nvidia here")
    with pytest.raises(
        HyperparameterError, match=r"'decoder' is dali, .*\(ImportError: no nvidia here\).*decoder=auto"
    ):
        train(make_job(decoder="dali"))


def test_plain_decoder_takes_its_place_with_a_warning_unless_it_was_asked_for(make_job, monkeypatch, caplog):
    monkeypatch.setattr(dali_pipelines, "why_not", lambda: "ImportError: no nvidia here")
    train(make_job("auto", epochs="1"))
    assert "decoded by tf.io, slower: DALI cannot be loaded here (ImportError: no nvidia here)" in caplog.text
    caplog.clear()
    train(make_job("plain", decoder="plain", epochs="1"))
    assert "tf.io" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("classes", "1"), ("image_size", "31"), ("head_factor", "0"), ("least_area", "0"), ("cache_mb", "0")],
)
def test_hyperparameter_out_of_range_is_told_with_its_value(make_job, name, value):
    with pytest.raises(HyperparameterError, match=f"'{name}' is {value}.*it must be"):
        train(make_job(**{name: value}))
