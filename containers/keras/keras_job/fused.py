"""What Keras makes many operations of, by the one that TensorFlow has for it. For a step that XLA does not compile.

Batch normalisation passes over the images once and not eight times; Adam is one operation for each weight and not 41.
Of the workshop's network a step has 700 operations and not 1,700, and what it takes to trace and to optimise one is
shorter with them.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

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
    plain = layer.scale and layer.center and not (layer.synchronized or layer.renorm)
    return plain and layer.input_spec.ndim == 4 and layer.axis in (-1, 3)


def _normalise(
    layer: Any, unfused: Any, images: tf.Tensor, training: bool | None = None, mask: Any = None
) -> tf.Tensor:
    if not (training and layer.trainable and mask is None):
        return unfused(images, training=training, mask=mask)
    floats = tf.cast(images, tf.float32)
    nothing = tf.constant((), tf.float32)
    found = tf.raw_ops.FusedBatchNormV3(
        x=floats, scale=layer.gamma.value, offset=layer.beta.value, mean=nothing, variance=nothing,
        epsilon=max(layer.epsilon, _LEAST_EPSILON),
    )  # fmt: skip
    normalised, mean, variance = found.y, found.batch_mean, found.batch_variance
    # Keras keeps that of the batch itself, not what it tells of all images.
    variance -= variance * (layer.gamma.shape[0] / tf.cast(tf.size(floats), tf.float32))
    share = tf.constant(1.0 - layer.momentum, tf.float32)
    for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        before = tf.convert_to_tensor(moving.value)
        moving.assign(before + (now - before) * share)
    return tf.cast(normalised, layer.compute_dtype)


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
    seed = tf.cast(layer.seed_generator.next() % _SEEDS, tf.int32)
    drawn = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    uniform = tf.raw_ops.StatelessRandomUniformV2(
        shape=tf.shape(values), key=drawn.key, counter=drawn.counter, alg=_BY_DEVICE, dtype=values.dtype
    )
    return values * tf.cast(uniform >= layer.rate, values.dtype) * (1 / (1 - layer.rate))


_FUSED = {
    keras.layers.BatchNormalization: (_is_plain_normalisation, _normalise),
    keras.layers.Conv2D: (_is_plain_convolution, _convolve),
    keras.layers.Dropout: (_is_plain_dropout, _drop),
}


def fuse_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Have Adam, and SGD with momentum, change a weight by one operation; what is computed and saved stays Keras's."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if type(inner) is keras.optimizers.Adam and not inner.amsgrad:
        inner._distributed_tf_update_step = functools.partial(_update, inner, _adam, _adams)
    elif type(inner) is keras.optimizers.SGD and inner.momentum:
        inner._distributed_tf_update_step = functools.partial(_update, inner, _sgd, _sgds)


def _update(
    optimizer: Any, step: Any, prepare: Any, distribution: Any, gradients_and_variables: Any, rate: tf.Tensor
) -> None:
    """Keras's own, but for `prepare`: it gives what is the same for all variables of a dtype, once."""
    common: dict[tf.DType, dict[str, tf.Tensor]] = {}
    for gradient, variable in gradients_and_variables:
        if variable.dtype not in common:
            common[variable.dtype] = prepare(optimizer, rate, variable.dtype)
        given = gradient, common[variable.dtype]
        distribution.extended.update(variable, functools.partial(step, optimizer), args=given, group=False)


def _adams(optimizer: Any, rate: tf.Tensor, dtype: tf.DType) -> dict[str, tf.Tensor]:
    steps = tf.cast(optimizer.iterations + 1, dtype)
    betas = [tf.constant(beta, dtype) for beta in (optimizer.beta_1, optimizer.beta_2)]
    return {
        "lr": tf.cast(rate, dtype),
        "beta1": betas[0],
        "beta2": betas[1],
        "beta1_power": tf.pow(betas[0], steps),
        "beta2_power": tf.pow(betas[1], steps),
        "epsilon": tf.constant(optimizer.epsilon, dtype),
    }


def _adam(optimizer: Any, variable: Any, gradient: tf.Tensor, common: dict[str, tf.Tensor]) -> None:
    index = optimizer._get_variable_index(variable)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        grad=tf.cast(gradient, variable.dtype),
        **common,
    )


def _sgds(optimizer: Any, rate: tf.Tensor, dtype: tf.DType) -> dict[str, tf.Tensor]:
    return {"lr": tf.cast(rate, dtype), "momentum": tf.constant(optimizer.momentum, dtype)}


def _sgd(optimizer: Any, variable: Any, gradient: tf.Tensor, common: dict[str, tf.Tensor]) -> None:
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=optimizer.momentums[optimizer._get_variable_index(variable)].value.handle,
        grad=tf.cast(gradient, variable.dtype),
        use_nesterov=optimizer.nesterov,
        **common,
    )
