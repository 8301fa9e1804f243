"""Optimizers that change a weight by the one operation that TensorFlow has for it, and not by Adam's 41 of Keras.

For a step that XLA does not compile.
"""

import functools
from typing import Any

import keras
import tensorflow as tf


def fuse_optimizer(optimizer: keras.optimizers.Optimizer, *, alone: bool = False) -> None:
    """Have Adam, and SGD with momentum, change a weight by one operation; what is computed and saved stays Keras's.

    `alone`: there is one replica, whose gradients are added up with nobody's.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if alone:
        inner._all_reduce_sum_gradients = list
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
