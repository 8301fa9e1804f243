"""Batch normalisation by TensorFlow's one operation: Keras's own numbers, and Keras's own layer in what is saved."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import fused, models


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


MAKERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, weight_decay=0.1),
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "heavy ball": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "clipped": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1, use_ema=True),
    "scaled adam": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}
OPERATION = dict.fromkeys(("adam", "clipped", "scaled adam"), "ResourceApplyAdam")


def trained(optimizer: keras.optimizers.Optimizer) -> tuple[list[np.ndarray], set[str]]:
    """Weights and the optimizer's own state after some steps, and the operations of one."""
    kinds = (((3, 4), "float32"), ((12,), "float32"), ((4, 3), "float64"))
    weights = [keras.Variable(np.linspace(-1, 1, 12).reshape(shape), dtype=dtype) for shape, dtype in kinds]
    optimizer.build(weights)

    @tf.function
    def step(rate):
        optimizer.learning_rate = rate
        optimizer.apply([tf.sin(5 * weight) for weight in weights], weights)

    for rate in (0.1, 0.05, 0.01, 0.0):
        step(tf.constant(rate))
    definition = step.get_concrete_function(tf.constant(0.1)).graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return [np.asarray(each) for each in [*weights, *optimizer.variables]], {node.op for node in nodes}


@pytest.mark.parametrize("name", MAKERS)
def test_optimizers_steps_are_those_of_keras_but_for_rounding(name):
    quick, plain = MAKERS[name](), MAKERS[name]()
    fused.fuse_optimizer(quick)
    (ours, operations_ours), (kerass, operations_kerass) = trained(quick), trained(plain)
    assert OPERATION.get(name, "ResourceApplyKerasMomentum") in operations_ours - operations_kerass
    for one, other in zip(ours, kerass, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


OTHERS = {
    "amsgrad": lambda: keras.optimizers.Adam(amsgrad=True),
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adamw": keras.optimizers.AdamW,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_optimizers_are_left(name):
    optimizer = OTHERS[name]()
    fused.fuse_optimizer(optimizer)
    assert not any(operation.startswith("ResourceApply") for operation in trained(optimizer)[1])


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
