"""Trains an epoch on two devices and on one, in a process of its own: CPUs are split before TensorFlow begins.

python -m tests.unit.keras_job.two_replicas FOLDER
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras_job import inputs, saving, training
from trainjob import channel
from trainjob.stop import Stop

from tests.small_job import Job


def network() -> keras.Model:
    """Without batch normalisation and dropout, which draw on what is in a replica's share."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    hidden = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(keras.layers.Rescaling(1 / 255)(pixels))
    logits = keras.layers.Dense(10)(keras.layers.Flatten()(hidden))
    return keras.Model(pixels, keras.layers.Softmax(name="probabilities")(logits))


def train(strategy: tf.distribute.Strategy, job: Job) -> tuple[list[list[np.ndarray]], dict[str, float]]:
    """Of each variable its value on every device; the epoch's row."""
    recipe = training.Recipe(epochs=1, batch_size=32, flip=False, steps_per_execution=3)
    with strategy.scope():
        model = network()
        trainer = training.Trainer(recipe, model, recipe.optimize(model), strategy, Stop())
    env, progress = job.environment(), saving.Progress(epoch_records=256)
    settings = {"window": 100, "drop_remainder": True}
    rows = trainer.train_epoch(
        inputs.cifar10_dataset(channel.find(env, "train", Stop()), 32, **settings), progress
    ) | trainer.evaluate(inputs.cifar10_dataset(channel.find(env, "validation", Stop()), 31), progress)
    assert (progress.batch, progress.step, progress.seen) == (8, 8, 256)
    values = [getattr(variable.value, "values", [variable.value]) for variable in model.variables]
    return [[np.asarray(value) for value in each] for each in values], rows


def main() -> None:
    """Print what was found as JSON."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    job = Job(Path(sys.argv[1]))
    two, rows_of_two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), job)
    one, rows_of_one = train(tf.distribute.get_strategy(), job)
    found = {
        "devices": [len(values) for values in two],
        "apart": max(float(np.abs(a - b).max()) for a, b in two),
        "from_one": max(float(np.abs(a - b).max()) for (a, _), (b,) in zip(two, one, strict=True)),
        "rows": [{name: row[name] for name in row if ":" in name} for row in (rows_of_two, rows_of_one)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
