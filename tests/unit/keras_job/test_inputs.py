"""Tensors from a channel in every mode and framing, under `fit`, and what is done to them on the device."""

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import examples as keras_examples
from keras_job import inputs, saving, training
from sagemaker_tensorflow import PipeModeDataset
from trainjob import channel, cifar10
from trainjob.contract import FAST_FILE, FILE, PIPE
from trainjob.stop import Stop

from tests.unit.keras_job.streams import examples, frames, images, rows, without_label

pytestmark = pytest.mark.timeout(120)


def epochs_of(env, name="train", batch_size=32, steps=None, **settings) -> inputs.Epochs:
    dataset = inputs.cifar10_dataset(channel.find(env, name, Stop()), batch_size, **settings)
    return inputs.Epochs(dataset, steps)


def small_model() -> keras.Model:
    layers = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("mode", [FILE, FAST_FILE, PIPE])
@pytest.mark.parametrize("encode", [bytes, examples, frames])
def test_epoch_gives_every_image_with_its_label_in_order(make_job, mode, encode):
    job = make_job(mode=mode)
    whole = b"".join(job.content["train"])
    job.content["train"] = [encode(content) for content in job.content["train"]]
    with job.fed() as env:
        epochs = epochs_of(env, batch_size=50)
        for _ in range(2):
            batches = list(epochs.batches())
            assert [len(labels) for _, labels in batches] == [50, 50, 50, 50, 50, 7]
            assert np.array_equal(np.concatenate([part.numpy() for part, _ in batches]), images(whole))
            assert np.concatenate([labels.numpy() for _, labels in batches]).tolist() == rows(whole)[:, 0].tolist()
        assert batches[0][0].dtype == tf.uint8
        epochs.close()


def test_shapes_are_known_and_the_remainder_can_be_dropped(make_job):
    with make_job().fed() as env:
        whole, full = epochs_of(env).batches(), epochs_of(env, drop_remainder=True).batches()
        assert [spec.shape.as_list() for spec in whole.element_spec] == [[None, 32, 32, 3], [None]]
        assert [spec.shape.as_list() for spec in full.element_spec] == [[32, 32, 32, 3], [32]]
        assert sum(len(labels) for _, labels in full) == 256
        assert (
            inputs.Epochs(inputs.cifar10_dataset(channel.find(env, "train", Stop()), 32), 9).batches().cardinality()
            == 9
        )


def test_nothing_is_tuned_whose_end_an_epoch_would_wait_for(make_job, monkeypatch):
    job = make_job(mode=PIPE)
    env = job.environment()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job.paths.base))
    epochs, schema = epochs_of(env), {"image": tf.io.FixedLenFeature([], tf.string)}
    parsed = keras_examples.dataset(channel.find(env, "train", Stop()), 32, schema)
    for dataset in (epochs.rows, epochs.batches(), parsed, PipeModeDataset("train")):
        built_on_it = dataset.map(lambda *values: values, num_parallel_calls=tf.data.AUTOTUNE).repeat(2).prefetch(1)
        assert [each.options().autotune.enabled for each in (dataset, built_on_it)] == [False, False]


def test_tensors_that_are_kept_are_not_overwritten(make_job):
    for encode in (bytes, examples):
        for window, cache_bytes in ((0, 0), (50, 0), (0, 1 << 30), (50, 1 << 30)):
            job = make_job(f"{encode.__name__}-{window}-{cache_bytes}", PIPE)
            job.content["train"] = [encode(content) for content in job.content["train"]]
            with job.fed() as env:
                epochs = epochs_of(env, window=window, cache_bytes=cache_bytes)
                kept = [batch for _ in range(3) for batch in epochs.rows]
                copies = [part.numpy().copy() for part, _ in kept]
                list(epochs.rows)
                epochs.close()
            assert len(kept) == 27
            assert all(np.array_equal(part.numpy(), copy) for (part, _), copy in zip(kept, copies, strict=True))


@pytest.mark.parametrize("steps", [None, 9, 4])
def test_pass_of_fit_is_an_epoch_of_the_fifo_with_validation_and_without_a_warning(make_job, steps):
    job = make_job(mode=PIPE)
    opened = []
    with job.fed() as env:
        train, validation = epochs_of(env, steps=steps), epochs_of(env, "validation", steps=2)
        for name, epochs in (("train", train), ("validation", validation)):
            real = epochs.dataset.epoch
            epochs.dataset.epoch = lambda number, group, name=name, real=real: (
                opened.append((name, number)) or real(number, group)
            )
        settings = {"steps_per_epoch": steps, "validation_steps": 2} if steps else {}
        batches = train.batches()
        if steps is None:
            batches = batches.apply(tf.data.experimental.assert_cardinality(9))
        history = small_model().fit(
            batches, validation_data=validation.batches(), epochs=3, verbose=0, shuffle=False, **settings
        )
        train.close()
        validation.close()
    assert len(history.history["val_loss"]) == 3
    assert sorted(opened) == sorted((name, number) for name in ("train", "validation") for number in range(3))


def test_epoch_of_fewer_batches_than_told_is_an_error_with_their_number(make_job):
    with make_job().fed() as env:
        epochs = epochs_of(env, steps=12)
        with pytest.raises(tf.errors.OpError, match="has 9 batches of 32, but steps=12 was given; give steps=9"):
            list(epochs.batches())
        assert "has 9 batches" in str(epochs.raised(ValueError()))


def test_wrong_framing_and_lacking_feature_are_told_through_tensorflow(make_job):
    for encode, settings, told in (
        (frames, {"framing": "tfrecord"}, "'train', epoch 0 is to be read as tfrecord, .* a recordio header"),
        (bytes, {"framing": "recordio"}, "is to be read as recordio, but its first bytes"),
        (lambda content: examples(content).replace(b"label", b"lable"), {}, "'train', epoch 0: .* not match its CRC"),
        (without_label, {}, "has no feature 'label'; its features are: 'image', 'klass'. Check which"),
    ):
        job = make_job(encode.__name__)
        job.content["train"] = [encode(content) for content in job.content["train"]]
        with job.fed() as env, pytest.raises(tf.errors.OpError, match=told):
            list(epochs_of(env, **settings).rows)


EPOCHS = 200


def grown(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {name: now[name] - before[name] for name in now}


def held() -> dict[str, int]:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    kilobytes = int(status.partition("VmRSS:")[2].split()[0])
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    threads = len(list(Path("/proc/self/task").iterdir()))
    return {"megabytes": kilobytes // 1024, "descriptors": descriptors, "threads": threads}


def fit_epochs(env, after_epoch: Callable[[], None]) -> None:
    """`fit` with its validation, as a user's script has it."""
    train, validation = epochs_of(env, steps=9), epochs_of(env, "validation", steps=2)
    log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after_epoch())
    settings = {"validation_data": validation.batches(), "verbose": 0, "shuffle": False}
    small_model().fit(train.batches(), epochs=EPOCHS, callbacks=[log], **settings)
    train.close()
    validation.close()


def trainer_epochs(env, after_epoch: Callable[[], None]) -> None:
    """The program's own loop: training and evaluation, with a shuffle window."""
    recipe, stop = training.Recipe(epochs=EPOCHS, batch_size=32, steps_per_execution=4), Stop()
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    model = keras.Model(pixels, keras.layers.Softmax(name="probabilities")(logits))
    trainer = training.Trainer(recipe, model, recipe.optimize(model), tf.distribute.get_strategy(), stop)
    train, validation = (
        inputs.cifar10_dataset(channel.find(env, name, stop), 32, window=100) for name in ("train", "validation")
    )
    progress = saving.Progress(epoch_records=257)
    while progress.epoch < EPOCHS:
        progress.finish_epoch(trainer.train_epoch(train, progress) | trainer.evaluate(validation, progress))
        after_epoch()
    for dataset in (train, validation):
        dataset.channel.close()


def pipe_mode_epochs(env, after_epoch: Callable[[], None]) -> None:
    """The drop-in, record by record, a new iterator an epoch."""
    folders = {"state_dir": env.paths.base / "state", "pipe_dir": env.paths.data, "config_dir": env.paths.config}
    dataset = PipeModeDataset("train", "TFRecord", **{name: str(folder) for name, folder in folders.items()})
    lengths = dataset.map(tf.strings.length).shuffle(50).batch(32)
    for _ in range(EPOCHS):
        assert sum(len(batch) for batch in lengths) == 257
        after_epoch()


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", [fit_epochs, trainer_epochs, pipe_mode_epochs])
def test_two_hundred_epochs_over_a_tiny_pipe_hold_no_more_than_ten(make_job, run):
    job = make_job(mode=PIPE)
    job.content["train"] = [examples(content) for content in job.content["train"]]
    measured: list[dict[str, int]] = []
    with job.fed() as env:
        run(env, lambda: measured.append(held()))
    assert len(measured) == EPOCHS
    # An epoch is 0.8 MB, a batch 0.1 MB: either of them kept would be 19 MB or more. What grows is malloc's, an arena
    # for each of the threads that come and go: 7 MB here, 2 with MALLOC_ARENA_MAX=2, which is also what the same `fit`
    # grows by over a plain from_generator (2) and over tensors in memory (3).
    more = grown(measured[10], measured[199])
    assert more["megabytes"] <= 14, measured[10::38]
    assert more["descriptors"] <= 2, measured[10::38]
    assert more["threads"] <= 2, measured[10::38]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("open ")]


def test_every_augmented_image_is_a_crop_of_the_padded_one_or_its_mirror():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    augmented = inputs.crop(inputs.flip(pixels, (0, 1)), (0, 2), padding=2).numpy()
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    kinds = set()
    for image, result in zip(padded, augmented, strict=True):
        candidates = {
            (mirrored, top, left): (image[:, ::-1] if mirrored else image)[top : top + 32, left : left + 32]
            for mirrored in (False, True)
            for top in range(5)
            for left in range(5)
        }
        matching = [kind for kind, candidate in candidates.items() if np.array_equal(candidate, result)]
        assert len(matching) == 1
        kinds.add(matching[0])
    assert len({mirrored for mirrored, _, _ in kinds}) == 2
    assert len(kinds) > 20, "images move independently of each other"


def test_rows_are_split_alike_in_either_layout():
    content = np.random.default_rng(0).integers(0, 10, (6, cifar10.RECORD_BYTES), np.uint8)
    stored = np.concatenate([content[:, :1], images(content.tobytes()).reshape(6, -1)], 1)
    for (one, labels), (other, _) in [(inputs.split(content, False), inputs.split(stored, True))]:
        assert np.array_equal(one, other)
        assert labels.numpy().tolist() == content[:, 0].tolist()


@pytest.mark.parametrize("window", [0, 64])
def test_batches_made_in_python_are_those_of_tf_data(make_job, window):
    with make_job(mode=FILE).fed() as env:
        settings = {"window": window, "seed": 3}
        declared = epochs_of(env, **settings)
        dataset = inputs.cifar10_dataset(channel.find(env, "train", Stop()), 32, **settings)
        for number in range(2):
            made = inputs.epoch(dataset, number, 2, tf.distribute.get_strategy())
            kept = []
            while made.get_next_as_optional().has_value():
                kept.append(made.get_value())
            wanted = list(declared.rows)[2:]
            assert [len(part) for part, _ in kept] == [32] * 6 + [1]
            for ours, theirs in zip(kept, wanted, strict=True):
                for one, other in zip(ours, theirs, strict=True):
                    assert (one.dtype, one.shape) == (other.dtype, other.shape)
                    np.testing.assert_array_equal(one, other)
