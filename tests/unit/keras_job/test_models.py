"""The networks take CIFAR-10's shape and have the size they are said to have."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import models
from trainjob import cifar10


@pytest.mark.parametrize(("name", "weights"), [("workshop", 556_586), ("fast", 6_577_600)])
def test_model_maps_pixels_to_ten_probabilities(name, weights):
    model = models.build(name)
    probabilities = model(np.zeros((2, 32, 32, 3), np.uint8)).numpy()
    assert probabilities.shape == (2, 10)
    assert probabilities.sum(1) == pytest.approx([1, 1])
    counted = [v for layer in model.layers for v in layer.weights if "seed" not in v.path]
    assert sum(int(np.prod(variable.shape)) for variable in counted) == weights


def test_workshops_network_has_its_layers_in_their_order():
    kinds = [type(layer).__name__ for layer in models.build("workshop").layers]
    assert kinds[:4] == ["InputLayer", "Reshape", "Normalization", "Reshape"]
    block = ["Conv2D", "BatchNormalization", "Activation"] * 2 + ["MaxPooling2D", "Dropout"]
    assert kinds[4:] == block * 3 + ["Flatten", "Dense", "Activation", "Dropout", "Dense", "Softmax"]
    layers = {type(layer): layer for layer in models.build("workshop").layers if isinstance(layer, keras.layers.Dense)}
    assert layers
    shares = [layer.rate for layer in models.build("workshop").layers if isinstance(layer, keras.layers.Dropout)]
    assert shares == [0.2, 0.3, 0.4, 0.5]


def test_pixels_are_normalised_by_the_data_sets_statistics():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    model = models.build("workshop")
    normalised = keras.Model(model.input, model.get_layer("normalise").output)(pixels).numpy()
    assert normalised == pytest.approx((pixels / 255 - cifar10.MEAN) / cifar10.STD, rel=1e-4, abs=1e-5)


def test_probabilities_are_the_softmax_of_the_logits_in_any_precision():
    for precision in ("float32", "mixed_bfloat16"):
        model = models.build("workshop", precision)
        pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
        logits = models.to_logits(model)(pixels)
        assert logits.dtype == "float32"
        assert keras.ops.softmax(logits).numpy() == pytest.approx(model(pixels).numpy(), abs=1e-6)
    assert keras.config.dtype_policy().name == "float32"


def test_unnamed_variables_share_a_name_of_tensorflows_and_keep_keras_own():
    named = models.build("workshop")
    strategy = tf.distribute.get_strategy()
    with models.unnamed(strategy):
        model = models.build("workshop")
    assert len({variable.value.name for variable in named.variables}) > 10
    assert {variable.value.name for variable in model.variables} == {"Variable:0"}
    assert len({variable.path for variable in model.variables}) == len(model.variables)
