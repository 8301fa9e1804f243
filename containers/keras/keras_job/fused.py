"""What Keras makes many operations of, by the few that TensorFlow needs for it. For a step that XLA does not compile.

Batch normalisation passes over the images once and not eight times. Of the workshop's network a step has 502 operations
and not 1,700, and what it takes to trace and to optimise one is shorter with them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import record

_LEAST_EPSILON = 1.001e-5
"""Below it cuDNN does not normalise."""
_SEEDS, _BY_DEVICE = 2**31 - 2, 3
"""Keras's seeds for TensorFlow, which has them as int32, and TensorFlow's name for the generator that a device has."""


def fuse(model: keras.Model) -> None:
    """Have a model's layers be computed by TensorFlow's own operations; what they compute and save stays theirs.

    Batch normalisations that look at other ranks' records, too, are left.
    """
    for layer in model._flatten_layers():  # of nested models, too
        for kind, (fits, call) in _FUSED.items():
            if type(layer) is kind and fits(layer):
                layer.call = functools.partial(call, layer, layer.call)


def _is_plain_normalisation(layer: keras.layers.BatchNormalization) -> bool:
    plain = layer.scale and layer.center and not (layer.synchronized or getattr(layer, "renorm", False))
    return plain and layer.input_spec.ndim == 4 and layer.axis in (-1, 3)


def _normalise(
    layer: Any, unfused: Any, images: tf.Tensor, training: bool | None = None, mask: Any = None
) -> tf.Tensor:
    if not (training and layer.trainable and mask is None):
        return unfused(images, training=training, mask=mask)
    scale, offset, *moving = (
        tf.convert_to_tensor(each.value) for each in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    floats = tf.cast(images, tf.float32)
    epsilon = max(layer.epsilon, _LEAST_EPSILON)
    with record.stop_recording():
        found = tf.raw_ops.FusedBatchNormV3(
            x=floats, scale=scale, offset=offset, mean=moving[0], variance=moving[1],
            epsilon=epsilon, exponential_avg_factor=1 - layer.momentum,
        )  # fmt: skip
        # Keras remembers the variance of the batch itself, not what it tells of all images.
        share = layer.gamma.shape[0] / tf.cast(tf.size(floats), tf.float32)
        variance = found.batch_variance - (found.batch_variance - layer.momentum * moving[1]) * share

    def differentiate(gradient: tf.Tensor) -> Sequence[tf.Tensor]:
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=gradient, x=floats, scale=scale, reserve_space_1=found.reserve_space_1,
            reserve_space_2=found.reserve_space_2, reserve_space_3=found.reserve_space_3, epsilon=epsilon,
        )[:3]  # fmt: skip

    # Of the statistics nobody asks the gradient, for which TensorFlow's own would be given zeros.
    record.record_operation("FusedBatchNorm", [found.y], [floats, scale, offset], differentiate)
    layer.moving_mean.assign(found.batch_mean)
    layer.moving_variance.assign(variance)
    return tf.cast(found.y, layer.compute_dtype)


def _is_plain_convolution(layer: keras.layers.Conv2D) -> bool:
    return layer.use_bias and layer.data_format == "channels_last"


def _convolve(layer: Any, unfused: Any, images: tf.Tensor) -> tf.Tensor:
    """Keras makes an image of the bias first, and a vector of that again."""
    convolved = layer.convolution_op(images, layer.kernel)
    return layer.activation(tf.nn.bias_add(convolved, layer.bias.value))


def _is_plain_dropout(layer: keras.layers.Dropout) -> bool:
    return 0 < layer.rate < 1 and layer.noise_shape is None


def _drop(layer: Any, unfused: Any, values: tf.Tensor, training: bool = False) -> tf.Tensor:
    """By Keras's own numbers, and as a product, whose gradient is one: that of a choice is ten operations.

    Half precision is left to Keras: what has overflown is no number any more if it is multiplied by 0.
    """
    if not training or values.dtype == tf.float16:
        return unfused(values, training=training)
    with record.stop_recording():
        state = layer.seed_generator.state.value
        seed = tf.convert_to_tensor(state)
        state.assign_add(tf.constant((0, 1), state.dtype), read_value=False)
        drawn = tf.raw_ops.StatelessRandomGetKeyCounter(seed=tf.cast(seed % _SEEDS, tf.int32))
        uniform = tf.raw_ops.StatelessRandomUniformV2(
            shape=tf.shape(values), key=drawn.key, counter=drawn.counter, alg=_BY_DEVICE, dtype=values.dtype
        )
        kept = tf.cast(uniform >= layer.rate, values.dtype) * (1 / (1 - layer.rate))
        dropped = values * kept
    # TensorFlow's own would sum the gradient, in case that one of the two was stretched to the other's shape.
    record.record_operation("Dropout", [dropped], [values], lambda gradient: [gradient * kept])
    return dropped


def _is_plain_shape(layer: Any) -> bool:
    return getattr(layer, "data_format", None) != "channels_first"


def _reshape(layer: Any, unfused: Any, values: tf.Tensor) -> tf.Tensor:
    """Keras asks how many records there are first."""
    sizes = layer.compute_output_shape(tuple(values.shape))[1:]
    return tf.reshape(values, (-1, *sizes)) if all(sizes) else unfused(values)


_FUSED: dict[type, tuple[Callable[[Any], bool], Callable[..., tf.Tensor]]] = {
    keras.layers.BatchNormalization: (_is_plain_normalisation, _normalise),
    keras.layers.Conv2D: (_is_plain_convolution, _convolve),
    keras.layers.Dropout: (_is_plain_dropout, _drop),
    keras.layers.Flatten: (_is_plain_shape, _reshape),
    keras.layers.Reshape: (_is_plain_shape, _reshape),
}
