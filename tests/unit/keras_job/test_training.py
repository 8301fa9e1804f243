"""The step: what it does to weights, compiled or not, on one device and on two."""

import json
import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import inputs, models, saving, training
from trainjob import channel, cifar10
from trainjob.stop import Stop

from tests.small_job import records

pytestmark = pytest.mark.timeout(180)


def small_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    hidden = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(1 / 255)(pixels))
    hidden = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(hidden))
    logits = keras.layers.Dense(10, kernel_constraint=keras.constraints.MaxNorm(2.0), name="last")
    return keras.Model(pixels, keras.layers.Softmax(name="probabilities")(logits(keras.layers.Flatten()(hidden))))


def trainer_of(model: keras.Model, strategy: tf.distribute.Strategy | None = None, **recipe) -> training.Trainer:
    chosen = training.Recipe(**recipe)
    strategy = strategy or tf.distribute.get_strategy()
    return training.Trainer(chosen, model, chosen.optimize(model), strategy, Stop())


def batch(count: int = 8) -> tuple[tf.Tensor, tf.Tensor]:
    rows = np.frombuffer(records(count, 5), np.uint8).reshape(count, cifar10.RECORD_BYTES)
    return tf.constant(rows), tf.fill((count,), value=False)


def losses_of_steps(trainer: training.Trainer, count: int, rate: float = 0.003) -> list[float]:
    """Mean loss before each of so many steps on the same batch."""
    rows, channels_last = batch()
    steps = [trainer.step(rows, channels_last, tf.constant(step), tf.constant(rate)) for step in range(count)]
    return [float(loss_sum) / int(seen) for loss_sum, _, seen in steps]


def test_step_compiled_with_xla_learns_what_the_plain_one_does():
    # Without flips: XLA draws from another generator.
    plain = losses_of_steps(trainer_of(small_model(), jit_compile="false", flip=False), 4)
    trainer = trainer_of(small_model(), jit_compile="true", flip=False)
    compiled = losses_of_steps(trainer, 4)
    assert compiled == pytest.approx(plain, rel=1e-3)
    assert plain[-1] < 0.95 * plain[0]
    rows, channels_last = batch()
    program = trainer.step.experimental_get_compiler_ir(rows, channels_last, tf.constant(0), tf.constant(0.003))
    assert "HloModule" in program(stage="hlo"), "it is XLA that runs it"


@pytest.mark.parametrize(("optimizer", "rate"), [("rmsprop", 0.001), ("sgd", 0.05), ("adam", 0.003)])
def test_every_optimizer_takes_the_loss_down(optimizer, rate):
    trainer = trainer_of(small_model(), optimizer=optimizer, momentum=0.9, weight_decay=1e-4, flip=False)
    losses = losses_of_steps(trainer, 6, rate)
    assert losses[-1] < 0.9 * losses[0], losses


def test_look_is_made_beside_the_first_step_and_leaves_nothing_behind():
    trainer, steps = (made := trainer_of(small_model())), made._steps
    before = [weight.numpy() for weight in steps._model.variables]
    for _ in range(2):
        steps.prepare()
        steps.wait()
    assert steps.look.experimental_get_tracing_count() == 1
    assert trainer.step.experimental_get_tracing_count() == 1
    for weight, old in zip(steps._model.variables, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)
    for thread in [each for each in threading.enumerate() if each.name.startswith("look")]:
        thread.join(30)
        assert not thread.is_alive()


def test_error_of_the_look_that_is_made_beside_is_raised_by_the_evaluation(make_job):
    trainer = trainer_of(small_model(), epochs=1, batch_size=32)

    def fail(*batch):
        raise tf.errors.ResourceExhaustedError(None, None, "no memory for a look")

    trainer._steps.look = fail
    with make_job().fed() as env:
        progress = saving.Progress(epoch_records=256)
        trainer.train_epoch(inputs.cifar10_dataset(channel.find(env, "train", Stop()), 32), progress)
        assert progress.step == 9
        with pytest.raises(tf.errors.ResourceExhaustedError, match="no memory for a look"):
            trainer.evaluate(inputs.cifar10_dataset(channel.find(env, "validation", Stop()), 32), progress)


def test_batches_of_every_size_are_one_trace():
    trainer = trainer_of(small_model())
    for count in (8, 3, 1):
        trainer.step(*batch(count), tf.constant(0), tf.constant(0.003))
        trainer._steps.look(*batch(count))
    assert trainer.step.experimental_get_tracing_count() == 1
    assert trainer._steps.look.experimental_get_tracing_count() == 1


def test_step_of_the_fast_network_changes_all_of_its_weights():
    model = models.build("fast")
    before = [np.asarray(variable) for variable in model.trainable_variables]
    (loss,) = losses_of_steps(trainer_of(model, optimizer="sgd", crop_padding=4), 1, 0.1)
    assert 1.5 < loss < 5, "near that of a guess among ten, 2.3"
    after = [np.asarray(variable) for variable in model.trainable_variables]
    assert all(np.isfinite(values).all() for values in after)
    unchanged = [
        variable.path
        for variable, old, new in zip(model.trainable_variables, before, after, strict=True)
        if np.array_equal(old, new)
    ]
    assert unchanged == []


def test_weights_into_no_neuron_are_longer_than_the_max_norm_after_a_step():
    model = small_model()
    losses_of_steps(trainer_of(model, optimizer="sgd"), 3, rate=50.0)
    lengths = np.linalg.norm(np.asarray(model.get_layer("last").kernel), axis=0)
    assert lengths.max() <= 2 + 1e-4
    assert (lengths > 1.99).sum() >= 5, "so large a rate takes most of them to the bound"


def test_workshops_dense_layer_has_its_max_norm():
    wide = next(layer for layer in models.build("workshop").layers if getattr(layer, "units", 0) == 512)
    assert wide.kernel_constraint.max_value == 2


def test_two_replicas_hold_the_same_weights_and_learn_what_one_does(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "tests.unit.keras_job.two_replicas", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["devices"]) == {2}
    assert found["apart"] == 0
    assert found["from_one"] < 1e-5
    two, one = found["rows"]
    assert two == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "told"), [({}, "drop_remainder=False"), ({"drop_remainder": True}, "batch_size=33")]
)
def test_batches_that_replicas_cannot_share_are_refused(make_job, settings, told):
    class Two:
        """Of a strategy all that is asked before the refusal; a real one needs a process of its own."""

        num_replicas_in_sync = 2

    size = 33 if settings else 32
    with make_job().fed() as env:
        train = inputs.cifar10_dataset(channel.find(env, "train", Stop()), size, **settings)
        with pytest.raises(ValueError, match=f"2 replicas cannot share every batch .*{told}.* give a multiple of 2"):
            trainer_of(small_model(), Two()).train_epoch(train, saving.Progress(epoch_records=257))
