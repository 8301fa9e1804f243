"""The passes over a channel; what every training program here shares."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob.dataset import Dataset
from trainjob.errors import ChannelError
from trainjob.stop import Stop, StopRequested
from trainjob.training.between import Between
from trainjob.training.ranks import NO_RECORD, Ranks
from trainjob.training.schedules import SCALINGS, SCHEDULES

from keras_job import inputs, saving
from keras_job.recipe import Recipe, has_gpu
from keras_job.steps import Steps, photographs
from keras_job.tracing import if_any, traced

log = logging.getLogger(__name__)

REPORT_SECONDS = 15.0
"""Between two signs of life within an epoch."""
GPU_STEPS = 32
"""Steps a GPU does between two looks of the host at it: the stop flag, the end of the epoch."""

OpenEpoch = Callable[[Any, int, int, tf.distribute.Strategy], Any]
"""From a data set, an epoch's number, how many batches to leave out and the strategy, to what gives that epoch's images
and labels by `get_next_as_optional`, in Python."""


class Trainer:
    """The passes over a channel, by the steps of `Steps`; it owns no progress, so that a checkpoint need not know it.

    With several replicas only the evaluation is compiled with XLA, and train channels need `drop_remainder`.
    """

    def __init__(  # noqa: PLR0913 - what a job is made of; the last four by name
        self,
        recipe: Recipe,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        stop: Stop,
        *,
        open_epoch: OpenEpoch | None = None,
        head: Sequence[keras.Variable] = (),
        head_factor: float = 1.0,
        ranks: Ranks | None = None,
    ) -> None:
        """Without `open_epoch` a data set is CIFAR-10, batched in Python for a CPU that does a step a call, else by
        tf.data; with it, batches are made in Python and stay where they were made. The weights in `head` learn
        `head_factor` times as fast.
        """
        self._recipe, self._strategy, self._stop = recipe, strategy, stop
        self._ranks = ranks or Ranks()
        self._is_cifar = is_cifar = open_epoch is None
        self._steps = steps = Steps(
            recipe,
            model,
            optimizer,
            strategy,
            batch=inputs.ROWS if is_cifar else photographs(model),
            split=inputs.split if is_cifar else _as_they_are,
            head=head,
            head_factor=head_factor,
            ranks=self._ranks,
        )
        self.step, self.predict = steps.train, steps.predict
        self._steps_a_call = (recipe.steps_per_execution or (GPU_STEPS if has_gpu() else 1)) if is_cifar else 1
        # A graph around a graph takes as long to trace again; it pays where the host must keep out of the way.
        in_graph = self._steps_a_call > 1 or not steps.alone
        around = traced if in_graph else _as_it_is
        self._open_epoch = open_epoch or (None if in_graph or has_gpu() else inputs.epoch)
        self._train_some, self._evaluate_some = around(self._train_steps), around(self._evaluate_steps)
        # Sums stay on the device: reading one out every step would make a GPU wait for the host.
        self._loss_sum = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._correct = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._confusion = tf.Variable(tf.zeros(2 * [model.output_shape[-1]], tf.int64), trainable=False)
        self._done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._seen = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._epochs: dict[int, tuple[inputs.Epochs, Any]] = {}

    def train_epoch(
        self, train: Any, progress: saving.Progress, checkpoints: saving.Checkpoints | None = None
    ) -> dict[str, float]:
        """Train from where `progress` stands to the end of its epoch; the training half of the epoch's row.

        Raises:
            ChannelError: The channel cannot be opened or delivered no record.
            CheckpointError: A checkpoint on the way could not be written.
            RecordError: Its bytes are not the data set's records.
            StopRequested: The job was asked to stop; `progress` stands behind the last whole step.
        """
        begun, earlier = time.perf_counter(), progress.seen
        reported, alone = begun, self._ranks.count == 1
        between = Between(self._recipe.log_steps, progress, checkpoints, printed=self._ranks.is_first)
        if alone:
            self._check_shares(train)
            self._loss_sum.assign(progress.loss_sum)
            self._correct.assign(progress.correct)
            calls = self._calls(train, progress.epoch, progress.batch, lambda rows: self._advance(rows, progress))
        else:
            calls = self._together(train, progress, lambda: between.due(progress.step + 1))
        try:
            for _ in calls:
                if between.due(progress.step) if alone else self._ranks.wished:
                    if alone:
                        self._read_sums(progress)
                    between.act(progress)
                if time.perf_counter() - reported > REPORT_SECONDS:
                    reported = time.perf_counter()
                    rate = (progress.seen - earlier) / (reported - begun)
                    log.info("epoch %d: %d images, %.0f images/s", progress.epoch + 1, progress.seen, rate)
        finally:
            if alone:
                self._read_sums(progress)
        if not progress.seen:
            raise ChannelError(NO_RECORD)
        seconds = time.perf_counter() - begun
        return {
            "epoch": progress.epoch + 1,
            "seconds": round(seconds, 3),
            "images_per_second": round((progress.seen - earlier) / seconds),
            "train:loss": progress.loss_sum / progress.seen,
            "train:accuracy": progress.correct / progress.seen,
        }

    def _read_sums(self, progress: saving.Progress) -> None:
        progress.loss_sum, progress.correct = float(self._loss_sum.numpy()), int(self._correct.numpy())

    def evaluate(self, validation: Dataset, progress: saving.Progress) -> dict[str, float]:
        """Loss and accuracy over the next epoch of the validation channel: the other half of the epoch's row.

        `progress` gets the confusion matrix.

        Raises:
            ChannelError: The channel cannot be opened or delivered no record.
            RecordError: Its bytes are not the data set's records.
            StopRequested: The job was asked to stop; the epoch's training half is done and need not be repeated.
        """
        self._steps.wait()
        if self._ranks.count == 1:
            for sums in (self._loss_sum, self._confusion):
                sums.assign(tf.zeros_like(sums))
            for _ in self._calls(validation, 0, 0, self._evaluate_some):
                pass
            loss_sum, confusion = float(self._loss_sum.numpy()), self._confusion.numpy()
        else:
            loss_sum, confusion = self._look_together(validation)
        progress.confusion = confusion.tolist()
        seen = int(confusion.sum())
        if not seen:
            raise ChannelError(NO_RECORD)
        return {
            "validation:loss": loss_sum / seen,
            "validation:accuracy": float(np.trace(confusion)) / seen,
        }

    def _check_shares(self, train: Dataset) -> None:
        replicas = self._strategy.num_replicas_in_sync
        if replicas > 1 and (train.batch_size % replicas or not train.drop_remainder):
            # A replica that is dealt no record has NaN for its mean.
            raise ValueError(
                f"{replicas} replicas cannot share every batch of a train channel with batch_size={train.batch_size}, "
                f"drop_remainder={train.drop_remainder}; give a multiple of {replicas}, and drop_remainder=True"
            )

    def _calls(self, dataset: Dataset, number: int, skipped: int, call: Any) -> Iterator[None]:
        """Call with the epoch's iterator until it is at its end; a TensorFlow error gives way to what caused it."""
        if self._open_epoch is not None:
            made = self._open_epoch(dataset, number, skipped, self._strategy)
            while True:
                self._stop.check()
                if not call(made):
                    return
                yield
        if id(dataset) not in self._epochs:
            # Declared once: of every data set that is, TensorFlow keeps 0.3 MB for good.
            epochs = inputs.Epochs(dataset)
            self._epochs[id(dataset)] = epochs, self._strategy.experimental_distribute_dataset(epochs.rows)
        epochs, rows = self._epochs[id(dataset)]
        epochs.number = number
        batches = iter(rows)
        try:
            for _ in itertools.islice(batches, skipped):
                self._stop.check()
            while True:
                self._stop.check()
                if not call(batches):
                    return
                yield
        except tf.errors.OpError as error:
            raise epochs.raised(error) from None

    def _advance(self, batches: Any, progress: saving.Progress) -> bool:
        """Some steps; whether there may be more."""
        recipe = self._recipe
        if self._is_cifar:  # photographs are evaluated by `predict`
            self._steps.prepare()
        shares = [
            SCHEDULES[recipe.schedule](progress.position(recipe.epochs, index * recipe.batch_size), recipe.warmup)
            for index in range(self._steps_a_call)
        ]
        rates = tf.constant([recipe.learning_rate * share for share in shares], tf.float32)
        for count in (self._done, self._seen):
            count.assign(0)
        try:
            self._train_some(batches, tf.constant(progress.step, tf.int32), rates)
        finally:
            # Of a call that its input cut short, too: the steps before have changed the weights.
            done, seen = int(self._done.numpy()), int(self._seen.numpy())
            progress.batch, progress.step, progress.seen = (
                progress.batch + done, progress.step + done, progress.seen + seen,
            )  # fmt: skip
        return done == self._steps_a_call

    def _train_steps(self, batches: Any, first: tf.Tensor, rates: tf.Tensor) -> None:
        """One step for each of `rates`, or to the end of the epoch; each is counted, with its records, once it is done.

        The sums are variables: what a function returns is lost when a later batch cannot be had.
        """

        def step(index: tf.Tensor) -> tuple[tf.Tensor]:
            following = batches.get_next_as_optional()
            given = first + index, rates[index]
            if_any(following, lambda batch: self._train_on(*batch, *given))
            return (index + 1,)

        tf.while_loop(lambda index: index < rates.shape[0], step, (tf.constant(0),))

    def _train_on(self, *arguments: Any) -> None:
        loss_sum, correct, count = self._strategy.run(self._steps.replica, arguments)
        self._loss_sum.assign_add(tf.cast(self._total(loss_sum), tf.float64))
        self._correct.assign_add(tf.cast(self._total(correct), tf.int64))
        self._done.assign_add(1)
        self._seen.assign_add(tf.cast(self._total(count), tf.int64))

    def _together(self, dataset: Any, progress: saving.Progress, wish: Callable[[], bool]) -> Iterator[None]:
        """Steps of all ranks until none has a batch; a rank that ran dry takes them on a record that does not count."""
        recipe, nothing = self._recipe, self._steps.nothing()
        first = self._ranks.is_first
        loss_sum, correct = (progress.loss_sum, progress.correct) if first else (0.0, 0)
        scaling = SCALINGS[recipe.learning_rate_scaling](self._ranks.count)
        batches = self._batches(dataset, progress.epoch, progress.batch)
        try:
            for batch, mine, everyone in self._ranks.together(batches, _records, self._stop, wish):
                share = SCHEDULES[recipe.schedule](progress.position(recipe.epochs), recipe.warmup)
                step, rate = progress.step, recipe.learning_rate * share * scaling
                given = tf.constant(step), tf.constant(rate, tf.float32), tf.constant([mine, everyone], tf.float64)
                loss, hits = self._steps.together(*(nothing if batch is None else batch), *given)
                if mine:
                    loss_sum, correct = loss_sum + float(loss), correct + int(hits)
                progress.seen += everyone
                progress.batch, progress.step = progress.batch + 1, progress.step + 1
                if self._ranks.wished:
                    self._add_up(progress, loss_sum, correct)
                yield
        except StopRequested:
            self._add_up(progress, loss_sum, correct)  # on all ranks, as all of them stop before the same step
            raise
        self._add_up(progress, loss_sum, correct)

    def _add_up(self, progress: saving.Progress, loss_sum: float, correct: int) -> None:
        sums = self._ranks.total([loss_sum, correct])
        progress.loss_sum, progress.correct = float(sums[0]), int(sums[1])

    def _look_together(self, validation: Any) -> tuple[float, NDArray[np.int64]]:
        """Loss and confusion matrix over all ranks' records; no rank waits for another before its last."""
        loss_sum, confusion, stopped = 0.0, np.zeros(self._confusion.shape, np.int64), False
        try:
            for batch in self._batches(validation, 0, 0):
                self._stop.check()
                loss, pairs = self._steps.look(*batch)
                loss_sum, confusion = loss_sum + float(loss), confusion + pairs.numpy()
        except StopRequested:
            stopped = True
        sums = self._ranks.total([loss_sum, *confusion.ravel()], stopped=stopped)
        return float(sums[0]), sums[1:].reshape(confusion.shape).astype(np.int64)

    def _batches(self, dataset: Any, number: int, skipped: int) -> Iterator[inputs.Batch]:
        """This rank's batches, one by one."""
        if self._open_epoch is not None:
            made = self._open_epoch(dataset, number, skipped, tf.distribute.get_strategy())
            while made.get_next_as_optional().has_value():
                yield made.get_value()
            return
        epochs = self._epochs.setdefault(id(dataset), (inputs.Epochs(dataset), None))[0]
        epochs.number = number
        try:
            yield from itertools.islice(epochs.rows, skipped, None)
        except tf.errors.OpError as error:
            raise epochs.raised(error) from None

    def _evaluate_steps(self, batches: Any) -> tf.Tensor:
        """Whether there was a batch to evaluate."""
        return if_any(batches.get_next_as_optional(), self._look_on)

    def _look_on(self, batch: Any) -> None:
        loss_sum, confusion = self._strategy.run(self._steps.look, batch)
        self._loss_sum.assign_add(tf.cast(self._total(loss_sum), tf.float64))
        self._confusion.assign_add(tf.cast(self._total(confusion), tf.int64))

    def _total(self, value: Any) -> tf.Tensor:
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)


def _records(batch: inputs.Batch) -> int:
    return int(batch[1].shape[0])


def _as_it_is(function: Callable[..., Any]) -> Any:
    return function


def _as_they_are(images: tf.Tensor, labels: tf.Tensor) -> inputs.Batch:
    return images, labels
