"""Layers by few of TensorFlow's operations: Keras's own numbers, and Keras's own layers in what is saved."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import fused, inputs, models
from keras_job.recipe import Recipe
from keras_job.steps import Steps
from trainjob.training.ranks import Ranks


def network(**settings) -> keras.Model:
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 4))
    hidden = keras.layers.BatchNormalization(momentum=0.7, **settings)(keras.layers.Conv2D(8, 3)(images))
    return keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Activation("relu")(hidden))))


def one_step(model: keras.Model, images: np.ndarray):
    """The answer, the gradients, and what the layer then remembers."""
    layer = model.layers[2]
    layer.gamma.assign(np.linspace(0.5, 2, 8))
    layer.beta.assign(np.linspace(-1, 1, 8))
    with tf.GradientTape() as tape:
        answer = model(images, training=True)
        loss = tf.reduce_sum(answer**2)
    gradients = tape.gradient(loss, model.trainable_variables)
    return [np.asarray(each) for each in (answer, *gradients, layer.moving_mean, layer.moving_variance)]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, (5, 6, 6, 4)).astype(np.float32)


def operations(model: keras.Model) -> set[str]:
    function = tf.function(lambda images: model(images, training=True))
    return {
        operation.type for operation in function.get_concrete_function(tf.zeros((2, 6, 6, 4))).graph.get_operations()
    }


def test_step_is_that_of_keras_but_for_rounding(images):
    plain, quick = network(), network()
    fused.fuse(quick)
    assert "FusedBatchNormV3" in operations(quick) - operations(plain)
    for ours, kerass in zip(one_step(quick, images), one_step(plain, images), strict=True):
        np.testing.assert_allclose(ours, kerass, rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(quick(images), quick(images, training=False))
    np.testing.assert_allclose(quick(images), plain(images), rtol=2e-4, atol=2e-4)


def test_what_is_saved_is_kerass_own_layer(images, tmp_path: Path):
    model = network()
    fused.fuse(model)
    one_step(model, images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[2]) is keras.layers.BatchNormalization
    assert "FusedBatchNormV3" not in operations(loaded)
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize(
    "settings", [{"synchronized": True}, {"renorm": True}, {"scale": False}, {"center": False}, {"axis": 1}]
)
def test_what_the_operation_cannot_do_is_left_to_keras(settings):
    model = network(**settings)
    fused.fuse(model)
    assert "FusedBatchNormV3" not in operations(model)


def test_frozen_layer_stays_as_it_is(images):
    model = network()
    fused.fuse(model)
    model.layers[2].trainable = False
    assert "FusedBatchNormV3" not in operations(model)
    before = np.asarray(model.layers[2].moving_mean)
    model(images, training=True)
    np.testing.assert_array_equal(model.layers[2].moving_mean, before)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_every_network_of_ours_trains_by_it_in_any_precision(precision):
    model = models.build("workshop", precision)
    fused.fuse(model)
    function = tf.function(lambda images: model(images, training=True))
    graph = function.get_concrete_function(tf.zeros((2, 32, 32, 3), tf.uint8)).graph
    assert [operation.type for operation in graph.get_operations()].count("FusedBatchNormV3") == 6
    assert function(tf.zeros((2, 32, 32, 3), tf.uint8)).dtype == tf.float32


def drawing(**settings) -> keras.Model:
    """Without settings a network that is all fused."""
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 4))
    hidden = keras.layers.Conv2D(8, 3, activation="relu", use_bias=settings.pop("use_bias", True))(images)
    hidden = keras.layers.Dropout(0.3, seed=7, **settings)(hidden)
    return keras.Model(images, keras.layers.Dense(3)(keras.layers.Dropout(0.5)(keras.layers.Flatten()(hidden))))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_what_is_dropped_and_convolved_is_what_keras_does(images, precision):
    keras.config.set_dtype_policy(precision)
    try:
        quick, plain = drawing(), drawing()
    finally:
        keras.config.set_dtype_policy("float32")
    fused.fuse(quick)
    close = {"rtol": 2e-2, "atol": 1e-2} if "16" in precision else {"rtol": 1e-5, "atol": 1e-5}
    assert "SelectV2" in operations(plain) - operations(quick)
    assert "Squeeze" in operations(plain) - operations(quick)
    for _ in range(3):  # each draws anew
        found = []
        for model in (quick, plain):
            with tf.GradientTape() as tape:
                answer = model(images, training=True)
                loss = tf.reduce_sum(tf.cast(answer, tf.float32) ** 2)
            found.append([answer, *tape.gradient(loss, model.trainable_variables)])
        for ours, kerass in zip(*found, strict=True):
            one, other = (np.asarray(each, np.float32) for each in (ours, kerass))
            np.testing.assert_allclose(one, other, **close)
    np.testing.assert_array_equal(quick(images), plain(images))


def test_dropout_of_a_shape_of_its_own_and_a_convolution_without_bias_are_left(images):
    quick, plain = (drawing(noise_shape=(None, 1, 1, 8), use_bias=False) for _ in range(2))
    fused.fuse(quick)
    assert "SelectV2" in operations(quick)
    np.testing.assert_array_equal(quick(images, training=True), plain(images, training=True))


def test_shapes_are_taken_without_a_count_of_the_records_where_they_are_known():
    quick, plain = (shaping((4, 6), (2, 12)) for _ in range(2))
    fused.fuse(quick)
    counting = {"Shape", "StridedSlice", "Pack"}
    assert counting <= kinds(plain, (None, 4, 6))
    assert not counting & kinds(quick, (None, 4, 6))
    for count in (3, 0):
        values = np.arange(24.0 * count, dtype=np.float32).reshape(count, 4, 6)
        np.testing.assert_array_equal(quick(values), plain(values))


def test_a_shape_that_is_not_known_is_left_to_keras():
    quick, plain = (shaping((None, 6), (-1, 3)) for _ in range(2))
    fused.fuse(quick)
    assert kinds(quick, (None, None, 6)) == kinds(plain, (None, None, 6))
    values = np.arange(48.0, dtype=np.float32).reshape(2, 4, 6)
    np.testing.assert_array_equal(quick(values), plain(values))


def test_a_step_of_the_workshops_network_stays_one_that_is_soon_traced():
    recipe = Recipe(jit_compile="false")
    model = models.build("workshop")
    steps = Steps(
        recipe, model, recipe.optimize(model), tf.distribute.get_strategy(),
        batch=inputs.ROWS, split=inputs.split, head=(), head_factor=1.0, ranks=Ranks(),
    )  # fmt: skip
    assert len(steps.train.get_concrete_function().graph.get_operations()) < 520


def shaping(size: tuple[int | None, ...], wanted: tuple[int, ...]) -> keras.Model:
    values = keras.Input(size)
    return keras.Model(values, keras.layers.Flatten()(keras.layers.Reshape(wanted)(values)))


def kinds(model: keras.Model, shape: tuple[int | None, ...]) -> set[str]:
    function = tf.function(model, input_signature=[tf.TensorSpec(shape)])
    return {operation.type for operation in function.get_concrete_function().graph.get_operations()}
