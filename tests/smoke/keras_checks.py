"""What the Keras image must do."""

import keras
import tensorflow as tf


def import_framework() -> str:
    """The framework that is imported, and what it sees of the machine."""
    import tf_keras  # noqa: PLC0415 - its import is part of the check

    seen = f"{len(tf.config.list_physical_devices('GPU'))} GPU" if tf.test.is_built_with_cuda() else "no CUDA"
    return f"tensorflow {tf.__version__}, keras {keras.__version__}, tf_keras {tf_keras.__version__}, {seen}"


def convolution() -> str:
    """Forward and backward through a network with convolutions; a step makes the loss smaller."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([
        keras.Input((32, 32, 3)), keras.layers.Conv2D(16, 3, padding="same"), keras.layers.BatchNormalization(),
        keras.layers.ReLU(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10),
    ])  # fmt: skip
    images, labels = tf.random.uniform((64, 32, 32, 3)), tf.range(64) % 10
    optimizer = keras.optimizers.SGD(0.1)
    measure = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = []
    for _ in range(10):
        with tf.GradientTape() as tape:
            loss = measure(labels, network(images, training=True))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        losses.append(float(loss))
    assert losses[-1] < losses[0], losses
    return f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps"
