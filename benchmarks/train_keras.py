"""Training the workshop's network on CIFAR-10: our program on a stream, the workshop's loop on stock TensorFlow.

    make bench/train_keras                             # REAL_DATA=DIR
    python -m benchmarks.train_keras --quality 2       # accuracy after 2 epochs of either, on real data

The workshop's loop is 03_training/tensorflow/source_dir/keras_cifar10.py of aws-samples' workshop
end-to-end-workshop-for-computer-vision: one Example at a time through parse_single_example, decode_raw and one_hot,
then shuffle(1280) and batch(128), pixels of 0 to 255 as floats, Adam at 0.01, `fit`.

`input_wait_fraction` is the share of a streamed epoch, its first batch apart, in which the program's own loop waited
for its input, while it did the figures of `stream`. It is measured where `Trainer` asks: around its data set lies one
more, which notes the time of every request before it is handed on, and that of the answer. From the request that meets
the end, all counts as such a wait until the loop has let go of its input. On a GPU it is an upper bound: that may
still be at work on earlier steps meanwhile.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from keras_job import inputs, models, saving
from keras_job.inputs import Epochs
from keras_job.recipe import Recipe
from keras_job.training import Trainer
from numpy.typing import NDArray
from trainjob import cifar10
from trainjob.dataset import Dataset
from trainjob.framing import tfrecord
from trainjob.stop import Stop

from benchmarks.feeding import fed_channel
from benchmarks.rounds import measure, ratio, report

BATCH = 128
IMAGES_A_ROUND = {True: 50_000, False: 3_840}
"""On a GPU, and on a CPU."""
WINDOW = 10_000


def records(files: tuple[str, ...], count: int) -> NDArray[np.uint8]:
    """CIFAR-10's records of those files from $REAL_DATA, else random ones of the same form: the work is the same."""
    folder = Path(os.environ.get("REAL_DATA") or "data") / cifar10.FOLDER
    if all((folder / name).is_file() for name in files):
        print(f"data: {folder}")
        parts = [np.fromfile(folder / name, np.uint8).reshape(-1, cifar10.RECORD_BYTES) for name in files]
        return np.concatenate(parts)[:count]
    print(f"data: random records, as {folder} holds no CIFAR-10; name its parent in REAL_DATA")
    drawn = np.random.default_rng(0).integers(0, 256, (count, cifar10.RECORD_BYTES), np.uint8)
    drawn[:, 0] %= len(cifar10.CLASSES)
    return drawn


def write_tfrecord(path: Path, content: NDArray[np.uint8]) -> Path:
    """The records as one TFRecord file of the workshop's schema."""
    with path.open("wb") as file:
        for record in content:
            tfrecord.write(file, cifar10.to_example(record))
    return path


def workshop_dataset(path: Path) -> tf.data.Dataset:
    """The workshop's own way from a TFRecord file to batches, with its one_hot and its shuffle."""
    schema = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def parse(payload: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_single_example(payload, schema)
        pixels = tf.ensure_shape(tf.io.decode_raw(parsed["image"], tf.uint8), (3072,))
        return tf.reshape(pixels, (32, 32, 3)), tf.one_hot(tf.cast(parsed["label"], tf.int32), 10)

    parsed = tf.data.TFRecordDataset([str(path)]).map(parse, num_parallel_calls=10).prefetch(10)
    return parsed.shuffle(10 * BATCH).batch(BATCH, drop_remainder=True)


def workshop_model() -> keras.Model:
    """The workshop's network as it compiles it: raw pixels, Keras's own batch normalisation, Adam at 0.01."""
    ours = models.build("workshop")
    first = [layer.name for layer in ours.layers].index("normalise") + 1
    layers = [type(layer).from_config(layer.get_config()) for layer in ours.layers[first:]]
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.99
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    return model


class Waiting:
    """Adds up the seconds from each request for a batch to its answer, within TensorFlow, where no Python runs."""

    def __init__(self) -> None:
        with tf.device("CPU"):
            self._asked, self._first, self._last, self._waited = (
                tf.Variable(0.0, dtype=tf.float64, trainable=False) for _ in range(4)
            )

    def around(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        """The same elements; both maps run in the thread that asks, one before and one after the answer."""
        asking = tf.data.Dataset.counter().map(self._ask)
        timed = tf.data.Dataset.zip(asking, rows).map(self._answer)
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # else they would run ahead of the loop
        return timed.with_options(options)

    def installed(self) -> contextlib.AbstractContextManager[Any]:
        """Have the loop's requests timed."""
        return mock.patch.object(inputs, "Epochs", self.epochs)

    def epochs(self, dataset: Dataset, steps: int | None = None) -> Epochs:
        """What the loop declares, with the clock around it."""
        declared = Epochs(dataset, steps)
        declared.rows = self.around(declared.rows)
        return declared

    def fraction(self, ended: float) -> float:
        """The share waited since the first answer; a request that met the end of the epoch waited until `ended`."""
        first, waited = float(self._first.numpy()), float(self._waited.numpy())
        if self._asked.numpy() > self._last.numpy():
            waited += ended - float(self._asked.numpy())
        return waited / (ended - first)

    def _ask(self, index: tf.Tensor) -> tf.Tensor:
        self._asked.assign(tf.timestamp())
        return index

    def _answer(self, index: tf.Tensor, row: Any) -> Any:
        now = self._last.assign(tf.timestamp())
        if index == 0:
            self._first.assign(now)
            self._waited.assign(0.0)
        else:
            self._waited.assign_add(now - self._asked)
        return row


class WaitingInPython:
    """The same for batches that Python makes, as on a CPU."""

    def __init__(self) -> None:
        self._take = inputs.Made.get_next_as_optional
        self._of: inputs.Made | None = None
        self._first = self._waited = 0.0

    def installed(self) -> contextlib.AbstractContextManager[Any]:
        """Have the loop's requests timed."""

        def ask(made: inputs.Made) -> inputs.Made:
            asked = time.time()
            answer = self._take(made)
            if made is not self._of:
                self._of, self._first, self._waited = made, time.time(), 0.0
            else:
                self._waited += time.time() - asked
            return answer

        return mock.patch.object(inputs.Made, "get_next_as_optional", ask)

    def fraction(self, ended: float) -> float:
        """The share waited since the first answer."""
        return self._waited / (ended - self._first)


def _ours(recipe: Recipe) -> Trainer:
    model = models.build("workshop", recipe.policy())
    return Trainer(recipe, model, recipe.optimize(model), tf.distribute.get_strategy(), Stop())


def speed(rounds: int) -> None:
    """Images per second of either loop."""
    gpu = bool(tf.config.list_physical_devices("GPU"))
    content = records(cifar10.TRAIN_FILES, IMAGES_A_ROUND[gpu])
    recipe = Recipe(batch_size=BATCH)
    trainer, theirs = _ours(recipe), workshop_model()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = write_tfrecord(Path(folder) / "train.tfrecords", content)
        channel = stack.enter_context(fed_channel(Path(folder) / "job", path.read_bytes()))
        stream = inputs.cifar10_dataset(channel, BATCH, window=WINDOW)

        fractions = list[float]()
        waiting = Waiting() if gpu else WaitingInPython()
        stack.enter_context(waiting.installed())

        def ours() -> float:
            row = trainer.train_epoch(stream, saving.Progress(epoch_records=len(content)))
            fractions.append(waiting.fraction(time.time()))
            return len(content) / float(row["seconds"])

        def workshop() -> float:
            begun = time.perf_counter()
            theirs.fit(workshop_dataset(path), epochs=1, verbose=0)
            return len(content) // BATCH * BATCH / (time.perf_counter() - begun)

        contestants: dict[str, Callable[[], float]] = {"stream": ours, "workshop": workshop}
        for run in contestants.values():
            run()  # tracing is not counted against either
        figures = measure(contestants, rounds)
        waited = statistics.median(fractions[1:])
    ratios = {"images_vs_workshop": ratio(figures, "stream", "workshop")}
    report("train_keras", f"images/s, batch {BATCH}", figures, ratios, input_wait_fraction=waited)


def quality(epochs: int) -> None:
    """Accuracy of the workshop's own settings; `make local-train FRAMEWORK=keras` tells ours."""
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train = write_tfrecord(Path(folder) / "train.tfrecords", records(cifar10.TRAIN_FILES, 50_000))
        test = write_tfrecord(Path(folder) / "test.tfrecords", records(cifar10.TEST_FILES, 10_000))
        fitted = workshop_model().fit(
            workshop_dataset(train), epochs=epochs, validation_data=workshop_dataset(test), verbose=2
        )
    for epoch, accuracy in enumerate(fitted.history["val_accuracy"], start=1):
        print(f"workshop, epoch {epoch}: {accuracy:.4f}")


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description="Training the workshop's network on CIFAR-10 with Keras.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quality", type=int, metavar="EPOCHS", help="train the workshop's loop, tell its accuracy")
    arguments = parser.parse_args()
    if arguments.quality:
        quality(arguments.quality)
    else:
        speed(arguments.rounds)


if __name__ == "__main__":
    main()
