"""From a channel to tensors: epochs of uint8 batches as a tf.data.Dataset, transposed and augmented on the device."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob import cifar10
from trainjob.channel import Channel
from trainjob.dataset import Dataset
from trainjob.errors import ChannelError, TrainJobError
from trainjob.stop import StopRequested

Batch = tuple[tf.Tensor, tf.Tensor]
"""Images `(n, 32, 32, 3)` uint8 and labels `(n,)` int64."""

ROWS = (tf.TensorSpec((None, cifar10.RECORD_BYTES), tf.uint8), tf.TensorSpec((None,), tf.bool))
"""What `Epochs.rows` gives of CIFAR-10, a batch: see there."""

PREFETCHED = 3
"""Batches read ahead."""


def cifar10_dataset(channel: Channel, batch_size: int, **settings: Any) -> Dataset:
    """CIFAR-10's records in a channel, of any framing; `settings` are Dataset's."""
    return Dataset(
        channel=channel,
        record_bytes=cifar10.RECORD_BYTES,
        batch_size=batch_size,
        decode=cifar10.rows_as_stored,
        **settings,
    )


class Epochs:
    """A channel's epochs as a tf.data.Dataset of rows as stored. Every new iterator of `rows` is the next epoch.

    It can be iterated by hand, given to `fit`, or distributed by a strategy: a pass of Keras is an epoch of the FIFO.
    """

    def __init__(self, dataset: Dataset, steps: int | None = None) -> None:
        """Declare the epochs; nothing is opened before the first batch is asked for.

        Args:
            dataset: What to read.
            steps: Batches in an epoch, where that is known, and what `fit` is told as `steps_per_epoch`: an epoch
                that has more is left there, and one that has fewer is an error. Without it, an epoch is all there is.
        """
        self.dataset, self._steps = dataset, steps
        self.number = 0
        """Of the training's epoch that the next iterator reads; decides its order."""
        self.cause: TrainJobError | StopRequested | None = None
        """What ended the epoch last read, if an error did: TensorFlow hands on no more than its text."""
        self.rows = self._declare()
        """Elements: rows `(n, 3073)` uint8 and whether their pixels are height x width x channel, `(n,)` bool: of one
        value each, as a strategy deals a batch out to its replicas."""

    def batches(self) -> tf.data.Dataset:
        """Images `(n, 32, 32, 3)` and labels `(n,)`, for `fit`. Here the host transposes, while the model trains."""
        declared = self.rows.map(split, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return declared.prefetch(PREFETCHED)

    def close(self) -> None:
        """Let go of the FIFO that was opened ahead; for a channel that is not read on."""
        self.dataset.channel.close()

    def raised(self, error: Exception) -> BaseException:
        """What is to be raised in place of an error that iterating over `rows` raised."""
        return self.cause or error

    def _declare(self) -> tf.data.Dataset:
        dataset = self.dataset
        signature = (tf.TensorSpec((None, dataset.record_bytes), tf.uint8), tf.TensorSpec((None,), tf.bool))
        # To hand an array over costs the same whatever its size: so a block at a time, which TensorFlow cuts.
        blocks = tf.data.Dataset.from_generator(self._epoch, output_signature=signature)
        rows = blocks.rebatch(dataset.batch_size, drop_remainder=dataset.drop_remainder)
        if self._steps is not None:
            rows = rows.apply(tf.data.experimental.assert_cardinality(self._steps))
        return untuned(rows.prefetch(PREFETCHED))

    def _epoch(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """One epoch in blocks; TensorFlow runs it in threads of its own, and closes it with the iterator."""
        number, self.number, self.cause = self.number, self.number + 1, None
        dataset, count = self.dataset, 0
        wanted = math.inf if self._steps is None else self._steps * dataset.batch_size
        try:
            for block in dataset.epoch(number, dataset.batches_in_block):
                rows = block[: wanted - count] if len(block) > wanted - count else block
                count += len(rows)
                yield rows, np.full(len(rows), cifar10.channels_last(dataset.found or ""))
                if count == wanted:
                    return
            batches = count // dataset.batch_size if dataset.drop_remainder else -(-count // dataset.batch_size)
            if self._steps is not None and batches != self._steps:
                raise ChannelError(
                    f"{dataset.channel.description} has {batches} batches of {dataset.batch_size}, but "
                    f"steps={self._steps} was given; give steps={batches}, or leave it out."
                )
        except (TrainJobError, StopRequested) as error:
            self.cause = error
            raise


class Made:
    """Batches that Python makes, as the trainer takes those of tf.data: each dealt out to the replicas."""

    def __init__(self, batches: Iterator[Batch], strategy: tf.distribute.Strategy) -> None:
        self._batches, self._strategy = batches, strategy
        self._batch: Batch | None = None

    def get_next_as_optional(self) -> "Made":
        """Itself, holding the next batch or none."""
        self._batch = next(self._batches, None)
        return self

    def has_value(self) -> bool:
        """Whether there was one."""
        return self._batch is not None

    def get_value(self) -> Any:
        """Images and labels; of several replicas, the share of each."""
        assert self._batch is not None  # noqa: S101 - the caller has asked
        count = self._strategy.num_replicas_in_sync
        if count == 1:
            return self._batch
        parts = self._batch
        return tuple(
            self._strategy.experimental_distribute_values_from_function(
                lambda context, part=part: part[context.replica_id_in_sync_group :: count]
            )
            for part in parts
        )


def epoch(dataset: Dataset, number: int, skip: int, strategy: tf.distribute.Strategy) -> Made:
    """One pass over CIFAR-10 but for its first `skip` batches, in what `ROWS` says, read where it is asked for.

    For a CPU, whose steps take a hundred times as long as to read a batch: to declare two channels to tf.data takes as
    long as half a step's trace.

    Its batches raise ChannelError, RecordError and StopRequested as the reader has them.
    """
    return Made((_tensors(rows, dataset) for rows in itertools.islice(dataset.epoch(number), skip, None)), strategy)


def _tensors(rows: NDArray[np.uint8], dataset: Dataset) -> Batch:
    return tf.convert_to_tensor(rows), tf.fill((len(rows),), cifar10.channels_last(dataset.found or ""))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same, and all that is built on it, without tf.data's tuning: `AUTOTUNE` then is a call for each core.

    The end of an iterator waits for the thread that tunes. That sleeps twice as long each time, up to a minute, and
    often misses the call to end: half of all epochs of 12 s took 8 s more (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def split(rows: tf.Tensor, channels_last: tf.Tensor) -> Batch:
    """Images `(n, 32, 32, 3)` uint8 and labels `(n,)` int64 of rows as stored, on whatever device they are."""
    pixels = rows[:, 1:]
    images = tf.cond(
        tf.reduce_any(channels_last),
        lambda: tf.reshape(pixels, (-1, 32, 32, 3)),
        lambda: tf.transpose(tf.reshape(pixels, (-1, *cifar10.IMAGE_SHAPE)), (0, 2, 3, 1)),
    )
    return images, tf.cast(rows[:, 0], tf.int64)


def flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror half of the images left to right; uint8 costs a quarter of float.

    Args:
        images: `(n, h, w, c)`, on any device.
        seed: `(2,)` int32; the same seed mirrors the same images.
    """
    count = tf.shape(images)[0]
    mirrored = tf.random.stateless_uniform((count,), seed) < 0.5
    # Taken from both, image by image: on a CPU to choose pixel by pixel takes three times as long.
    both = tf.concat((images, tf.reverse(images, (2,))), 0)
    return tf.gather(both, tf.range(count) + count * tf.cast(mirrored, tf.int32))


def crop(images: tf.Tensor, seed: tf.Tensor, padding: int) -> tf.Tensor:
    """Move each image by up to `padding` pixels, edges mirrored.

    Args:
        images: `(n, h, w, c)`, on any device.
        seed: `(2,)` int32; the same seed moves the same images by as much.
        padding: Pixels, 1 or more.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    shift = tf.random.stateless_uniform((2, count, 1), seed, 0, 2 * padding + 1, tf.int32)
    padded = tf.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), "REFLECT")
    # One gather along each axis: no loop over images, and it compiles for any device.
    moved = tf.gather(padded, shift[0] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(moved, shift[1] + tf.range(width), axis=2, batch_dims=1)
