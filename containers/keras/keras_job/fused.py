"""What Keras makes many operations of, by the one that TensorFlow has for it. For a step that XLA does not compile.

Batch normalisation passes over the images once and not eight times; Adam is one operation for each weight and not 41,
of which two thirds of a whole step's consist, and with them what it takes to trace and to optimise one.
"""

import functools
from typing import Any

import keras
import tensorflow as tf


def fuse(model: keras.Model) -> None:
    """Have a model's batch normalisations train by TensorFlow's fused kernel; what they compute and save stays theirs.

    Those that look at other ranks' records, too, are left.
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


def fuse_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Have Adam, and SGD with momentum, change a weight by one operation; what is computed and saved stays Keras's."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if type(inner) is keras.optimizers.Adam and not inner.amsgrad:
        inner._distributed_tf_update_step = functools.partial(_update, inner, _adam, _powers)
    elif type(inner) is keras.optimizers.SGD and inner.momentum:
        inner._distributed_tf_update_step = functools.partial(_update, inner, _sgd, lambda *given: ())


def _update(
    optimizer: Any, step: Any, prepare: Any, distribution: Any, gradients_and_variables: Any, rate: tf.Tensor
) -> None:
    """Keras's own, but for `prepare`: it gives what is the same for all variables of a dtype, once."""
    common: dict[tf.DType, tuple[tf.Tensor, ...]] = {}
    for gradient, variable in gradients_and_variables:
        if variable.dtype not in common:
            common[variable.dtype] = prepare(optimizer, variable.dtype)
        given = gradient, rate, *common[variable.dtype]
        distribution.extended.update(variable, functools.partial(step, optimizer), args=given, group=False)


def _powers(optimizer: Any, dtype: tf.DType) -> tuple[tf.Tensor, ...]:
    steps = tf.cast(optimizer.iterations + 1, dtype)
    return tuple(tf.pow(tf.constant(beta, dtype), steps) for beta in (optimizer.beta_1, optimizer.beta_2))


def _adam(
    optimizer: Any, variable: Any, gradient: tf.Tensor, rate: tf.Tensor, power_1: tf.Tensor, power_2: tf.Tensor
) -> None:
    index = optimizer._get_variable_index(variable)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        beta1_power=power_1,
        beta2_power=power_2,
        lr=tf.cast(rate, variable.dtype),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=tf.cast(gradient, variable.dtype),
    )


def _sgd(optimizer: Any, variable: Any, gradient: tf.Tensor, rate: tf.Tensor) -> None:
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=optimizer.momentums[optimizer._get_variable_index(variable)].value.handle,
        lr=tf.cast(rate, variable.dtype),
        grad=tf.cast(gradient, variable.dtype),
        momentum=optimizer.momentum,
        use_nesterov=optimizer.nesterov,
    )
