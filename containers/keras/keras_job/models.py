"""The networks, untrained. Input: pixels `(n, h, w, 3)` uint8; output: probabilities `(n, classes)`."""

import difflib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers
from trainjob import cifar10, cub200
from trainjob.errors import HyperparameterError

Name = Literal["workshop", "fast"]

RESNET18 = "resnet18"

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
        images = _normalised_pixels(pixels, cifar10.MEAN, cifar10.STD)
        logits = {"workshop": _workshop, "fast": _fast}[name](images, classes)
        probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
        return keras.Model(pixels, probabilities, name=name)
    finally:
        keras.config.set_dtype_policy(before)


def unnamed(strategy: tf.distribute.Strategy) -> AbstractContextManager[Any]:
    """Variables that are made within have no names of TensorFlow's; Keras's own, which are saved, stay.

    TensorFlow makes a kernel for each name, and one for all variables of a shape that have none: a sixth of what it
    takes to make a network and its optimizer. Several replicas name theirs alike, and keep the names.
    """
    if strategy.num_replicas_in_sync > 1:
        return nullcontext()

    def unname(create: Callable[..., tf.Variable], **given: Any) -> tf.Variable:
        with tf.name_scope(""):  # of the layer, which would be a name
            return create(**{**given, "name": None})

    return tf.variable_creator_scope(unname)


def to_logits(model: keras.Model) -> keras.Model:
    """The same network up to its logits, float32: a loss of those does not lose small probabilities."""
    return keras.Model(model.input, model.get_layer("probabilities").input, name=model.name)


def _normalised_pixels(
    pixels: keras.KerasTensor, mean: Sequence[float], deviation: Sequence[float]
) -> keras.KerasTensor:
    """Floats of zero mean and unit variance, whose statistics are given for pixels of 0..1.

    As rows of whole pixels: on a CPU the three factors of a pixel alone are too short a run to vectorise, and take four
    times as long.
    """
    _, height, width, channels = pixels.shape
    rows = layers.Reshape((height, width * channels))(pixels)
    rows = layers.Normalization(
        mean=[255 * value for value in mean] * width, variance=[(255 * value) ** 2 for value in deviation] * width
    )(rows)
    return layers.Reshape((height, width, channels), name="normalise")(rows)


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


def photograph_model(name: str, classes: int, side: int, precision: str = "float32") -> keras.Model:
    """A network for photographs by its name, fresh weights drawn from Keras's global seed.

    It prepares the pixels itself, as its authors did, so that whoever serves it need not know how.

    Args:
        name: `resnet18`, which is ours, or a network of keras.applications as that has it, such as `ResNet50`.
        classes: Number of probabilities.
        side: Of the images, pixels.
        precision: Name of the dtype policy of its layers; weights and probabilities are float32 in any.

    Raises:
        HyperparameterError: There is no such network, or none for so small images; names some that are like it.
    """
    makers = _applications()
    if name != RESNET18 and name not in makers:
        near = difflib.get_close_matches(name, [RESNET18, *makers], 5) or [RESNET18, "ResNet50", "EfficientNetV2S"]
        raise HyperparameterError(
            f"'model' is '{name}', which keras.applications has not; it has {len(makers)}, like {', '.join(near)}."
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        pixels = keras.Input((side, side, 3), dtype="uint8", name="pixels")
        if name == RESNET18:
            features = _resnet18(_normalised_pixels(pixels, cub200.MEAN, cub200.STD))
        else:
            make, prepare = makers[name]
            floats = prepare(layers.Rescaling(1.0)(pixels))
            body = make(weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg")
            features = body(floats)
        logits = layers.Dense(classes, dtype="float32", name="logits")(features)
        probabilities = layers.Softmax(dtype="float32", name="probabilities")(logits)
        return keras.Model(pixels, probabilities, name=name.lower())
    except ValueError as error:
        raise HyperparameterError(
            f"'model' {name} cannot be made for images of {side} px ({str(error).splitlines()[0]}); set another "
            "image_size, or another model."
        ) from error
    finally:
        keras.config.set_dtype_policy(before)


def head(model: keras.Model) -> list[keras.Variable]:
    """The weights of the last layer: the one that knows the classes."""
    weights: list[keras.Variable] = model.get_layer("logits").trainable_variables
    return weights


def _applications() -> dict[str, tuple[Callable[..., keras.Model], Callable[..., keras.KerasTensor]]]:
    """By name, what makes a network and what prepares its pixels; the two have their source in common."""
    everything = vars(keras.applications)
    prepares = [each.preprocess_input for each in everything.values() if hasattr(each, "preprocess_input")]
    by_source = {prepare.__module__: prepare for prepare in prepares}
    makers = {name: make for name, make in everything.items() if name[0].isupper()}
    return {name: (make, by_source[make.__module__]) for name, make in makers.items()}


def _resnet18(images: keras.KerasTensor) -> keras.KerasTensor:
    """ResNet-18 as torchvision has it, 11.2 M weights, up to the pooled features."""
    hidden = _normalised(_padded(images, 64, 7, 2))
    hidden = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(layers.Activation("relu")(hidden)))
    for width, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        hidden = _block(_block(hidden, width, first), width, 1)
    return layers.GlobalAveragePooling2D()(hidden)


def _block(images: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
    hidden = layers.Activation("relu")(_normalised(_padded(images, width, 3, stride)))
    hidden = _normalised(_padded(hidden, width, 3, 1))
    if stride != 1:
        images = _normalised(_padded(images, width, 1, stride))
    return layers.Activation("relu")(layers.Add()([images, hidden]))


def _padded(images: keras.KerasTensor, width: int, size: int, stride: int) -> keras.KerasTensor:
    """A convolution that pads alike on both sides, which Keras's own padding does not where it strides."""
    if size > 1:
        images = layers.ZeroPadding2D(size // 2)(images)
    initial = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    return layers.Conv2D(width, size, stride, use_bias=False, kernel_initializer=initial)(images)


def _normalised(images: keras.KerasTensor) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=MOMENTUM, epsilon=1e-5)(images)


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Of each record, `(n,)`, in the precision of the logits `(n, classes)`; its true class counts 1 - `smoothing`."""
    if not smoothing:
        return tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels).loss
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes, dtype=logits.dtype) * (1 - smoothing) + smoothing / classes
    # tf.nn's own is 25 operations more, for logits of any shape.
    return tf.raw_ops.SoftmaxCrossEntropyWithLogits(features=logits, labels=targets).loss
