"""A batch in pieces has the gradients of the whole batch, in a loop that TensorFlow runs and unrolled for XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import inputs, saving, training
from keras_job.accumulation import accumulate
from keras_job.recipe import Recipe
from trainjob import channel
from trainjob.stop import Stop

from tests.small_job import Job, records

IMAGES = np.random.default_rng(0).normal(size=(7, 5))
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def taken(wanted: int, *, unrolled: bool = False, compiled: bool = False) -> tuple[list[int], float, np.ndarray]:
    """The length of each piece in turn, the summed loss, and the gradients times 2."""
    weights, lengths = tf.Variable(np.full((5, 3), 0.1)), []

    def compute(images, labels, weight):
        if compiled:
            lengths.append(labels.shape[0])
        else:
            tf.py_function(lambda length: lengths.append(int(length)), [tf.shape(labels)[0]], [])
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, images @ weights)
            loss = tf.reduce_mean(losses) * weight
        return [tape.gradient(loss, weights)], tf.reduce_sum(losses), tf.reduce_sum(tf.cast(labels == 0, tf.int32))

    @tf.function(jit_compile=compiled)
    def step(images, labels):
        return accumulate(compute, images, labels, tf.constant(2.0, tf.float64), wanted, unrolled=unrolled)

    (gradients,), loss_sum, correct = step(tf.constant(IMAGES), tf.constant(LABELS))
    assert int(correct) == 3
    return lengths, float(loss_sum), np.asarray(gradients)


@pytest.mark.parametrize(("wanted", "lengths"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (100, [1] * 7)])
@pytest.mark.parametrize("unrolled", [False, True])
def test_pieces_have_the_gradients_of_the_whole_batch(wanted, lengths, unrolled):
    found, loss_sum, gradients = taken(wanted, unrolled=unrolled)
    _, whole_loss, whole = taken(1)
    assert sorted(found) == lengths
    np.testing.assert_allclose(gradients, whole, rtol=1e-12)
    assert loss_sum == pytest.approx(whole_loss, rel=1e-12)


def test_pieces_compiled_with_xla_have_the_gradients_of_the_whole_batch():
    found, loss_sum, gradients = taken(3, unrolled=True, compiled=True)
    _, whole_loss, whole = taken(1)
    assert found == [2, 2, 3]
    np.testing.assert_allclose(gradients, whole, rtol=1e-12)
    assert loss_sum == pytest.approx(whole_loss, rel=1e-12)


class Looking(keras.layers.Layer):
    """Tells how many images it is shown at a time."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__()
        self._take = lambda length: lengths.append(int(length))

    def call(self, images, training=False):
        if training:
            tf.py_function(self._take, [tf.shape(images)[0]], [])
        return images


def test_trainer_shows_the_model_a_piece_at_a_time(tmp_path):
    job, lengths = Job(tmp_path / "ml"), []
    job.content = {"train": [records(34, 1)]}
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    hidden = keras.layers.Flatten()(Looking(lengths)(keras.layers.Rescaling(1 / 255)(pixels)))
    model = keras.Model(pixels, keras.layers.Softmax(name="probabilities")(keras.layers.Dense(10)(hidden)))
    recipe, progress = Recipe(epochs=1, batch_size=32, gradient_accumulation=3), saving.Progress(epoch_records=34)
    trainer = training.Trainer(recipe, model, recipe.optimize(model), tf.distribute.get_strategy(), Stop())
    trainer.train_epoch(inputs.cifar10_dataset(channel.find(job.environment(), "train", Stop()), 32), progress)
    assert [sorted(lengths[:3]), lengths[3:]] == [[10, 11, 11], [1, 1]]
    assert (progress.step, progress.seen) == (2, 34)
