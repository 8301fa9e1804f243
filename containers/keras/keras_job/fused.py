"""Batch normalisation by one operation of TensorFlow, where Keras makes eight that each pass over the images."""

import functools
from typing import Any

import keras
import tensorflow as tf


def fuse(model: keras.Model) -> None:
    """Have a model's batch normalisations train by TensorFlow's fused kernel; what they compute and save stays theirs.

    For a step that XLA does not compile, which fuses by itself. Those that look at other ranks' records, too, are left.
    """
    for layer in model._flatten_layers():  # of nested models, too
        if isinstance(layer, keras.layers.BatchNormalization) and _fits(layer):
            layer.call = functools.partial(_call, layer, layer.call)


def _fits(layer: keras.layers.BatchNormalization) -> bool:
    plain = layer.scale and layer.center and not (layer.synchronized or layer.renorm)
    return plain and layer.input_spec.ndim == 4 and layer.axis in (-1, 3)


def _call(layer: Any, unfused: Any, images: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
    if not (training and layer.trainable and mask is None):
        return unfused(images, training=training, mask=mask)
    floats = tf.cast(images, tf.float32)
    normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        floats, layer.gamma.value, layer.beta.value, epsilon=layer.epsilon, is_training=True
    )
    pixels = tf.cast(tf.size(floats) // layer.gamma.shape[0], tf.float32)
    variance *= (pixels - 1) / pixels  # Keras keeps that of the batch itself, not what it tells of all images
    for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + now * (1.0 - layer.momentum))
    return tf.cast(normalised, layer.compute_dtype)
