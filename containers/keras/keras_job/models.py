"""The networks, untrained. Input: pixels `(n, 32, 32, 3)` uint8; output: probabilities `(n, 10)`."""

from typing import Literal

import keras
from keras import layers
from trainjob import cifar10

Name = Literal["workshop", "fast"]

MOMENTUM = 0.9
"""Of batch normalisation's statistics. Keras's 0.99 needs some 500 steps to forget where it began; until then a
validation tells little."""


def build(name: Name, precision: str = "float32", classes: int = 10) -> keras.Model:
    """The network of that name with fresh weights drawn from Keras's global seed.

    It normalises the pixels itself, so that whoever serves it need not know how.

    Args:
        name: Which.
        precision: Name of the dtype policy of its layers; weights and probabilities are float32 in any.
        classes: Number of probabilities.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        pixels = keras.Input((32, 32, 3), dtype="uint8", name="pixels")
        mean, deviation = ([255 * value for value in values] for values in (cifar10.MEAN, cifar10.STD))
        images = layers.Normalization(mean=mean, variance=[value**2 for value in deviation], name="normalise")(pixels)
        logits = {"workshop": _workshop, "fast": _fast}[name](images, classes)
        probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
        return keras.Model(pixels, probabilities, name=name)
    finally:
        keras.config.set_dtype_policy(before)


def to_logits(model: keras.Model) -> keras.Model:
    """The same network up to its logits, float32: a loss of those does not lose small probabilities."""
    return keras.Model(model.input, model.get_layer("probabilities").input, name=model.name)


def _workshop(images: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The workshop's network: six convolutions and a dense layer of 512, 556,586 weights."""
    hidden = images
    for width, dropped in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for padding in ("same", "valid"):
            hidden = layers.Conv2D(width, 3, padding=padding)(hidden)
            hidden = layers.Activation("relu")(layers.BatchNormalization(momentum=MOMENTUM)(hidden))
        hidden = layers.Dropout(dropped)(layers.MaxPooling2D(2)(hidden))
    hidden = layers.Dense(512, kernel_constraint=keras.constraints.MaxNorm(2.0))(layers.Flatten()(hidden))
    hidden = layers.Dropout(0.5)(layers.Activation("relu")(hidden))
    return layers.Dense(classes, dtype="float32", name="logits")(hidden)


def _fast(images: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """A nine-layer residual network after David Page's "How to train your ResNet". Made for a GPU, 6.6 M weights."""
    hidden = _convolution(_convolution(images, 64), 128)
    hidden = _residual(layers.MaxPooling2D(2)(hidden), 128)
    hidden = layers.MaxPooling2D(2)(_convolution(hidden, 256))
    hidden = _residual(layers.MaxPooling2D(2)(_convolution(hidden, 512)), 512)
    features = layers.GlobalMaxPooling2D()(hidden)
    logits = layers.Dense(classes, use_bias=False)(features)
    return layers.Rescaling(0.125, dtype="float32", name="logits")(logits)  # keeps the first steps' softmax soft


def _residual(images: keras.KerasTensor, width: int) -> keras.KerasTensor:
    return layers.Add()([images, _convolution(_convolution(images, width), width)])


def _convolution(images: keras.KerasTensor, width: int) -> keras.KerasTensor:
    hidden = layers.Conv2D(width, 3, padding="same", use_bias=False)(images)
    return layers.Activation("relu")(layers.BatchNormalization(momentum=MOMENTUM)(hidden))
