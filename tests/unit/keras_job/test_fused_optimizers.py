"""Optimizers that change a weight by one operation: Keras's own steps, and what they remember."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import fused_optimizers

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
    fused_optimizers.fuse_optimizer(quick)
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
    fused_optimizers.fuse_optimizer(optimizer)
    assert not any(operation.startswith("ResourceApply") for operation in trained(optimizer)[1])


@pytest.mark.parametrize("name", [*MAKERS, "sgd", "rmsprop"])
def test_gradients_of_one_replica_are_added_up_with_nobodys(name):
    makers = {**MAKERS, **OTHERS}
    alone, among = makers[name](), makers[name]()
    fused_optimizers.fuse_optimizer(alone, alone=True)
    fused_optimizers.fuse_optimizer(among)
    (ours, operations_ours), (others, operations_others) = trained(alone), trained(among)
    assert "IdentityN" in operations_others - operations_ours
    for one, other in zip(ours, others, strict=True):
        np.testing.assert_array_equal(one, other)
