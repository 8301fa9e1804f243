"""Networks for photographs: our ResNet-18 and those of keras.applications, and weights as they are published."""

import logging

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.saving import legacy_h5_format
from keras_job import models, saving
from keras_job.photographs import epoch
from keras_job.train_cub200 import Config
from keras_job.training import Trainer
from trainjob import cub200
from trainjob.errors import ChannelError, HyperparameterError
from trainjob.stop import Stop

pytestmark = pytest.mark.timeout(180)

RESNET18_WEIGHTS = 11_689_512
"""Of torchvision's resnet18, 1000 classes, as its authors tell."""


def pixels(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_resnet18_has_torchvisions_weights_and_gives_probabilities(precision):
    model = models.photograph_model("resnet18", 1000, 64, precision)
    assert sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == RESNET18_WEIGHTS
    probabilities = model(pixels(2, 64)).numpy()
    assert (probabilities.shape, probabilities.dtype) == ((2, 1000), np.float32)
    assert probabilities.sum(1) == pytest.approx([1, 1], abs=1e-5)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("side", [32, 50, 64])
def test_resnet18_halves_its_images_as_torchvisions_does(side):
    model = models.photograph_model("resnet18", 2, side)
    shapes = [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Add)]
    halved = [-(-side // 4), -(-side // 8), -(-side // 16), -(-side // 32)]
    assert shapes == [size for size in halved for _ in range(2)]


def test_pixels_are_normalised_by_imagenets_statistics():
    shown = pixels(3, 32)
    model = models.photograph_model("resnet18", 2, 32)
    normalised = keras.Model(model.input, model.get_layer("normalise").output)(shown).numpy()
    assert normalised == pytest.approx((shown / 255 - cub200.MEAN) / cub200.STD, rel=1e-4, abs=1e-5)


def test_every_network_of_keras_applications_is_known_with_its_own_preparation():
    known = models._applications()
    makers = {name for name, each in vars(keras.applications).items() if name[0].isupper() and callable(each)}
    assert set(known) == makers
    assert len(known) >= 40
    shown = pixels(1, 8).astype(np.float32)
    for name, module in (("ResNet50", "resnet50"), ("MobileNetV3Small", "mobilenet_v3"), ("ResNet50V2", "resnet_v2")):
        expected = getattr(keras.applications, module).preprocess_input(shown.copy())
        assert np.array_equal(known[name][1](shown.copy()), expected), name


def test_network_of_keras_applications_takes_a_step_and_is_saved_whole(tmp_path):
    recipe = Config(model="MobileNetV2", classes=3, learning_rate=0.01)
    model = models.photograph_model("MobileNetV2", 3, 32)
    before = [np.array(variable) for variable in model.trainable_variables]
    trainer = Trainer(recipe, model, recipe.optimize(model), tf.distribute.get_strategy(), Stop(), open_epoch=epoch)
    shown = tf.constant(pixels(4, 32)), tf.constant([0, 1, 2, 0], tf.int64)
    loss, _, count = trainer.step(*shown, tf.constant(0), tf.constant(0.01))
    assert np.isfinite(loss)
    assert count == 4
    moved = [not np.array_equal(each, old) for each, old in zip(model.trainable_variables, before, strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded(pixels(2, 32)).numpy() == pytest.approx(model(pixels(2, 32)).numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "near"), [("ResNet51", "ResNet50"), ("resnet-18", "resnet18"), ("??", "resnet18, ResNet50, Eff")]
)
def test_unknown_network_is_told_with_near_names(name, near):
    with pytest.raises(HyperparameterError, match=rf"keras\.applications has not; it has 40, like .*{near}"):
        models.photograph_model(name, 2, 32)


def test_size_that_a_network_cannot_take_is_refused_and_the_policy_put_back():
    text = r"'model' Xception cannot be made for images of 64 px \(Input size must be at least 71x71.*set another image"
    with pytest.raises(HyperparameterError, match=text):
        models.photograph_model("Xception", 2, 64, "mixed_float16")
    assert keras.config.dtype_policy().name == "float32"


def body(model: keras.Model) -> keras.Model:
    """The network of keras.applications within a model."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


@pytest.fixture
def published(tmp_path):
    """A network's weights without its top, as keras.applications publishes them, and the network."""
    keras.utils.set_random_seed(99)
    network = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3))
    (tmp_path / "channel").mkdir()
    with h5py.File(tmp_path / "channel/mobilenet_v2_no_top.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return network


def test_published_weights_without_a_top_load_into_the_body(tmp_path, published, caplog):
    caplog.set_level(logging.INFO)
    keras.utils.set_random_seed(1)
    model = models.photograph_model("MobileNetV2", 3, 32)
    head = np.array(models.head(model)[0])
    saving.load_pretrained(tmp_path / "channel", model)
    for found, expected in zip(body(model).weights, published.weights, strict=True):
        assert np.array_equal(found, expected), found.path
    assert np.array_equal(models.head(model)[0], head)
    assert "weights from mobilenet_v2_no_top.h5; fresh: logits" in caplog.text


def test_published_weights_of_another_network_are_refused(tmp_path, published):
    text = r"mobilenet_v2_no_top\.h5 of channel 'pretrained' is damaged or of another network \(ValueError: Layer count"
    for name in ("MobileNet", "resnet18"):
        with pytest.raises(ChannelError, match=text):
            saving.load_pretrained(tmp_path / "channel", models.photograph_model(name, 3, 32))


def test_own_models_weights_load_but_for_a_head_of_other_classes(tmp_path):
    keras.utils.set_random_seed(99)
    brought = models.photograph_model("MobileNetV2", 5, 32)
    brought.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(1)
    model = models.photograph_model("MobileNetV2", 3, 32)
    saving.load_pretrained(tmp_path, model)
    for found, expected in zip(body(model).weights, body(brought).weights, strict=True):
        assert np.array_equal(found, expected), found.path


def test_weights_of_a_smaller_network_of_the_same_make_are_refused(tmp_path):
    keras.utils.set_random_seed(99)
    models.photograph_model("VGG16", 3, 32).save_weights(tmp_path / "small.weights.h5")
    keras.utils.set_random_seed(1)
    with pytest.raises(ChannelError, match=r"small\.weights\.h5 .* is damaged or of another network"):
        saving.load_pretrained(tmp_path, models.photograph_model("VGG19", 3, 32))
