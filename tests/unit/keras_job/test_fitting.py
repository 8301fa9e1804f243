"""The callback that makes a job of a script's own `fit`."""

import keras
import numpy as np
import pytest
from keras_job import fitting
from trainjob import checkpoint, metrics
from trainjob.stop import Stop

pytestmark = pytest.mark.timeout(120)

RANDOM = np.random.default_rng(0)
IMAGES, LABELS = RANDOM.random((96, 8)).astype("float32"), RANDOM.integers(0, 3, 96)


def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    made = keras.Sequential([*layers, keras.layers.Softmax()])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def fit(env, epochs: int, stop: Stop | None = None, *extra: keras.callbacks.Callback) -> keras.Model:
    made = model()
    job = fitting.JobCallback(made, env, stop or Stop())
    made.fit(
        IMAGES, LABELS, 16, epochs, verbose=0, shuffle=False, initial_epoch=job.epoch,
        validation_data=(IMAGES, LABELS), callbacks=[job, *extra],
    )  # fmt: skip
    return made


def same(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, other.weights, strict=True))


def test_metrics_lines_are_those_that_the_definitions_find(make_job, capsys):
    with make_job().fed() as env:
        fit(env, 2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch=")]
    assert [line.split()[0] for line in lines] == ["epoch=1", "epoch=2"]
    assert all(f"{name}=" in line for line in lines for name in metrics.NAMES)


def test_fit_that_goes_on_from_a_checkpoint_ends_with_the_same_weights(make_job):
    with make_job("whole").fed() as env:
        whole = fit(env, 3)
    with make_job("parts").fed() as env:
        fit(env, 1)
        assert checkpoint.newest(env.paths.checkpoints).step == 6
        assert same(fit(env, 3), whole)


def test_stop_ends_the_fit_between_two_batches_and_leaves_a_checkpoint(make_job):
    stop, seen = Stop(), []

    class StopInSecondEpoch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)
            if len(seen) == 8:
                stop.request()

    with make_job().fed() as env:
        fit(env, 5, stop, StopInSecondEpoch())
        newest = checkpoint.newest(env.paths.checkpoints)
        assert (len(seen), newest.step, newest.progress["epoch"]) == (8, 8, 1)
        again = model()
        assert fitting.JobCallback(again, env, Stop()).epoch == 1
