"""From a Pipe-mode stream to ready batches of 256 in TensorFlow: ours on a FIFO, TensorFlow's own ways on a local file.

    make bench/pipe_tfdata

`tfrecord` and `fixed` are our reader on a FIFO that a second process feeds. On a local file of the same TFRecords,
`workshop` parses one Example at a time (parse_single_example, decode_raw, one_hot, then batch), and `batched` is the
best that TensorFlow's documentation has: TFRecordDataset, batch, parse_example, decode_raw. A batch is ready when it is
a tensor of uint8 pixels, wherever its transpose is to be done: of fixed-size records that is on the device.

`fit_tfrecord` and `fit_fixed` are `Epochs.batches()`, what `fit` is given: images and labels, transposed by the host.
`pipemode` is our drop-in `PipeModeDataset` on a FIFO of the same TFRecords, batched and parsed as `batched` is.
`pipemode_records_per_s` is how many of its records come one after another, as scalar strings; the original, which
read each length and each record by itself in C++, gave about 260,000.
"""

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras_job import inputs
from sagemaker_tensorflow import PipeModeDataset
from trainjob import cifar10, contract
from trainjob.channel import Channel
from trainjob.contract import Paths

from benchmarks.feeding import NAME, fed_channel
from benchmarks.rounds import measure, ratio, report
from benchmarks.train_keras import write_tfrecord

BATCH = 256
CHUNK = 5_120
SCHEMA = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def workshop(payloads: tf.data.Dataset) -> tf.data.Dataset:
    """One Example at a time, as the workshop's script does it."""

    def parse(payload: tf.Tensor) -> inputs.Batch:
        parsed = tf.io.parse_single_example(payload, SCHEMA)
        pixels = tf.ensure_shape(tf.io.decode_raw(parsed["image"], tf.uint8), (3072,))
        return tf.reshape(pixels, (32, 32, 3)), tf.one_hot(tf.cast(parsed["label"], tf.int32), 10)

    return payloads.map(parse, num_parallel_calls=10).prefetch(10).batch(BATCH, drop_remainder=True)


def batched(payloads: tf.data.Dataset) -> tf.data.Dataset:
    """A batch of Examples at a time."""

    def parse(payloads: tf.Tensor) -> inputs.Batch:
        parsed = tf.io.parse_example(payloads, SCHEMA)
        return tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), (-1, 32, 32, 3)), parsed["label"]

    batches = payloads.batch(BATCH, drop_remainder=True)
    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def drop_in(base: Path) -> tf.data.Dataset:
    """The records of the channel `train` that is fed under `base`, by our PipeModeDataset."""
    paths = Paths(base)
    paths.config.mkdir(parents=True)
    paths.input_data_config.write_text(json.dumps({NAME: {contract.INPUT_MODE: contract.PIPE}}))
    folders = {"state_dir": base / "state", "pipe_dir": paths.data, "config_dir": paths.config}
    return PipeModeDataset(NAME, "TFRecord", **{name: str(folder) for name, folder in folders.items()})


def records_per_second(records: tf.data.Dataset, expected: int) -> float:
    """Of one pass over scalar records; skipped, as to count them would cost more than to read them."""
    begun = time.perf_counter()
    rest = sum(1 for _ in records.skip(expected - 1))
    seconds = time.perf_counter() - begun
    assert rest == 1, rest
    return expected / seconds


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
    parser.add_argument("--times", type=int, default=60, help=f"an epoch is so many times {CHUNK} records")
    arguments = parser.parse_args()
    records = np.random.default_rng(0).integers(0, 256, (CHUNK, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] %= 10
    total = CHUNK * arguments.times
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        one = write_tfrecord(folder / "one.tfrecords", records).read_bytes()
        file = folder / "all.tfrecords"
        file.write_bytes(one * arguments.times)

        def fed(name: str, content: bytes) -> Channel:
            return stack.enter_context(fed_channel(folder / name, content, arguments.times))

        def epochs(name: str, content: bytes) -> inputs.Epochs:
            return inputs.Epochs(inputs.cifar10_dataset(fed(name, content), BATCH))

        fed("pipemode", one)
        strings, payloads = drop_in(folder / "pipemode"), tf.data.TFRecordDataset([str(file)])
        batches = {
            "tfrecord": epochs("tfrecord", one).rows,
            "fixed": epochs("fixed", records.tobytes()).rows,
            "fit_tfrecord": epochs("fit_tfrecord", one).batches(),
            "fit_fixed": epochs("fit_fixed", records.tobytes()).batches(),
            "pipemode": batched(strings),
            "workshop": workshop(payloads),
            "batched": batched(payloads),
        }
        contestants: dict[str, Callable[[], float]] = {
            name: functools.partial(images_per_second, each, total) for name, each in batches.items()
        }
        contestants["pipemode_records"] = lambda: records_per_second(strings, total)
        figures = measure(contestants, arguments.rounds)
    records_per_s = statistics.median(figures.pop("pipemode_records"))
    others = [("fit_tfrecord", "batched"), ("fit_fixed", "batched"), ("pipemode", "workshop"), ("pipemode", "batched")]
    required = [("tfrecord", "workshop"), ("tfrecord", "batched"), ("fixed", "batched")]
    ratios = {f"{ours}_vs_{theirs}": ratio(figures, ours, theirs) for ours, theirs in (*others, *required)}
    report(
        "pipe_tfdata",
        f"images/s, batches of {BATCH}",
        figures,
        ratios,
        pipemode_records_per_s=records_per_s,
        records=total,
    )


if __name__ == "__main__":
    main()
