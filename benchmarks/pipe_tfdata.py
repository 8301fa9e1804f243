"""From a Pipe-mode stream to ready batches of 256 in TensorFlow: ours on a FIFO, TensorFlow's own ways on a local file.

    make bench/pipe_tfdata

`tfrecord` and `fixed` are our reader on a FIFO that a second process feeds. On a local file of the same TFRecords,
`workshop` parses one Example at a time (parse_single_example, decode_raw, one_hot, then batch), and `batched` is the
best that TensorFlow's documentation has: TFRecordDataset, batch, parse_example, decode_raw. A batch is ready when it is
a tensor of uint8 pixels, wherever its transpose is to be done: of fixed-size records that is on the device.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras_job import inputs
from trainjob import cifar10
from trainjob.dataset import Dataset

from benchmarks.feeding import fed_channel
from benchmarks.rounds import measure, ratio, report
from benchmarks.train_keras import write_tfrecord

BATCH = 256
CHUNK = 5_120
SCHEMA = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def workshop(path: Path) -> tf.data.Dataset:
    """One Example at a time, as the workshop's script does it."""

    def parse(payload: tf.Tensor) -> inputs.Batch:
        parsed = tf.io.parse_single_example(payload, SCHEMA)
        pixels = tf.ensure_shape(tf.io.decode_raw(parsed["image"], tf.uint8), (3072,))
        return tf.reshape(pixels, (32, 32, 3)), tf.one_hot(tf.cast(parsed["label"], tf.int32), 10)

    parsed = tf.data.TFRecordDataset([str(path)]).map(parse, num_parallel_calls=10).prefetch(10)
    return parsed.batch(BATCH, drop_remainder=True)


def batched(path: Path) -> tf.data.Dataset:
    """A batch of Examples at a time."""

    def parse(payloads: tf.Tensor) -> inputs.Batch:
        parsed = tf.io.parse_example(payloads, SCHEMA)
        return tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), (-1, 32, 32, 3)), parsed["label"]

    payloads = tf.data.TFRecordDataset([str(path)]).batch(BATCH, drop_remainder=True)
    return payloads.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def images_per_second(batches: tf.data.Dataset, expected: int) -> float:
    """Of one pass."""
    begun, count = time.perf_counter(), 0
    for batch in batches:
        count += int(batch[0].shape[0])
    seconds = time.perf_counter() - begun
    assert count == expected, (count, expected)
    return count / seconds


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description="From a Pipe-mode stream to batches in TensorFlow.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=20, help=f"an epoch is so many times {CHUNK} records")
    arguments = parser.parse_args()
    records = np.random.default_rng(0).integers(0, 256, (CHUNK, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] %= 10
    total = CHUNK * arguments.times
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        one = write_tfrecord(folder / "one.tfrecords", records).read_bytes()
        file = folder / "all.tfrecords"
        file.write_bytes(one * arguments.times)

        def stream(kind: str, content: bytes) -> tf.data.Dataset:
            channel = stack.enter_context(fed_channel(folder / kind, content, arguments.times))
            return inputs.Epochs(_dataset(channel)).rows

        ours = {"tfrecord": stream("tfrecord", one), "fixed": stream("fixed", records.tobytes())}
        theirs = {"workshop": workshop(file), "batched": batched(file)}
        contestants: dict[str, Callable[[], float]] = {
            name: (lambda batches=batches: images_per_second(batches, total))  # type: ignore[misc]
            for name, batches in (ours | theirs).items()
        }
        figures = measure(contestants, arguments.rounds)
    ratios = {
        "tfrecord_vs_workshop": ratio(figures, "tfrecord", "workshop"),
        "tfrecord_vs_batched": ratio(figures, "tfrecord", "batched"),
        "fixed_vs_batched": ratio(figures, "fixed", "batched"),
    }
    report("pipe_tfdata", f"images/s, batches of {BATCH}", figures, ratios, records=total)


def _dataset(channel: inputs.Channel) -> Dataset:
    return inputs.cifar10_dataset(channel, BATCH)


if __name__ == "__main__":
    main()
