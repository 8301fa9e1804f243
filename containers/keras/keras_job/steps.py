"""What is computed of one batch, as TensorFlow's graphs: a step, alone or among ranks, and an evaluation's look."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import tensorflow as tf
from trainjob.training.ranks import Ranks

from keras_job import inputs, models
from keras_job import ranks as among
from keras_job.accumulation import Computed, accumulate
from keras_job.fused import fuse
from keras_job.fused_optimizers import fuse_optimizer
from keras_job.recipe import Recipe, has_gpu
from keras_job.tracing import optimise_once, traced

Specs = tuple[tf.TensorSpec, ...]

_STEP_AND_RATE: Specs = (tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.float32))
_LOOK_SECONDS = 600.0
"""For one look at one record."""
_COUNTS = tf.TensorSpec((2,), tf.float64)


def photographs(model: keras.Model) -> Specs:
    """A batch of a model's images `(n, height, width, 3)` uint8, and labels `(n,)` int64."""
    return tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8), tf.TensorSpec((None,), tf.int64)


class Steps:
    """The graphs of one model. One trace of each is for batches of every size, but for XLA, which compiles for each."""

    def __init__(  # noqa: PLR0913 - what a step is made of; the last five by name
        self,
        recipe: Recipe,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        *,
        batch: Specs,
        split: Callable[..., inputs.Batch],
        head: Sequence[keras.Variable],
        head_factor: float,
        ranks: Ranks,
    ) -> None:
        """For batches like `batch`, whose first dimension is None, of which `split` makes images and labels. The
        weights in `head` learn `head_factor` times as fast.
        """
        self._recipe, self._model, self._optimizer, self._strategy = recipe, model, optimizer, strategy
        self._batch, self._split, self._head, self._head_factor = batch, split, head, head_factor
        self._ranks = ranks
        self._synced: among.Synchronised | None = None
        self._compiled = compiled = {"auto": has_gpu(), "true": True, "false": False}[recipe.jit_compile]
        if recipe.sync_batch_norm and ranks.count > 1:
            self._synced = among.Synchronised(model)
        elif not compiled:
            fuse(model)
        # Replicas meet where gradients are added up, and may not do so within a function of their own.
        self.alone = strategy.num_replicas_in_sync == 1
        """Whether there is but one replica."""
        if not compiled:
            fuse_optimizer(optimizer, alone=self.alone)
        self._logits = models.to_logits(model)
        optimise_once()

        def given(*more: tf.TensorSpec) -> Specs | None:
            return None if compiled else (*batch, *more)

        self.train = traced(self._train, jit_compile=compiled, input_signature=given(*_STEP_AND_RATE))
        """One step on a batch, given the step's number and the learning rate; its summed loss, its right answers and
        its records."""
        self.replica: Any = self.train if self.alone else self._train
        """The same, for a strategy to run."""
        self.look = traced(self._look, jit_compile=compiled, input_signature=given() if self.alone else None)
        """Summed loss and confusion matrix of a batch."""
        self.together = traced(self._together, input_signature=given(*_STEP_AND_RATE, _COUNTS))
        """One step among ranks, given also how many records this one has and all have; its summed loss and hits."""
        self.predict = traced(self._predict, jit_compile=compiled)
        """Logits `(n, classes)` in float32 of images `(n, h, w, 3)` uint8, shown as they are."""
        self._looked: Future[Any] | None = None

    def nothing(self) -> list[tf.Tensor]:
        """A batch of one blank record."""
        return [tf.zeros((1, *spec.shape[1:]), spec.dtype) for spec in self._batch]

    def prepare(self) -> None:
        """Make the step's graph, and have the look's made beside the first step; from the second call on, nothing.

        While TensorFlow optimises a graph, and runs it for the first time, Python has nothing to do. What `look` takes
        longer the first time is 0.2 s of the workshop's network, and is over before the first evaluation. While Python
        traces, the code of matrix products is generated.
        """
        if self._looked or self._compiled or not self.alone:
            return
        beside = ThreadPoolExecutor(1, thread_name_prefix="look", initializer=optimise_once)
        try:
            multiplied = beside.submit(_multiply)
            self.train.get_concrete_function()
            self._looked = beside.submit(lambda: (multiplied.result(), self.look(*self.nothing())))
        finally:
            beside.shutdown(wait=False)

    def wait(self) -> None:
        """For what `prepare` has begun; raises what that raised."""
        if self._looked:
            self._looked.result(_LOOK_SECONDS)

    def _train(
        self, rows: tf.Tensor, channels_last: tf.Tensor, step: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return self._learn(rows, channels_last, step, rate, None)

    def _together(
        self, rows: tf.Tensor, channels_last: tf.Tensor, step: tf.Tensor, rate: tf.Tensor, counts: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        loss_sum, correct, _ = self._strategy.run(self._learn, (rows, channels_last, step, rate, counts))
        return loss_sum, correct

    def _learn(
        self,
        rows: tf.Tensor,
        channels_last: tf.Tensor,
        step: tf.Tensor,
        rate: tf.Tensor,
        counts: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """A step, alone or, with `counts`, among ranks."""
        recipe, variables = self._recipe, self._model.trainable_variables
        images, labels = self._split(rows, channels_last)
        # Seeded by the step, not drawn from a running generator: a resumed job then needs no state to go on the same.
        seed = among.seed(recipe.seed, self._ranks.index)
        if recipe.flip:
            images = inputs.flip(images, tf.stack((seed, 2 * step)))
        if recipe.crop_padding:
            images = inputs.crop(images, tf.stack((seed, 2 * step + 1)), recipe.crop_padding)
        alone = 1 / self._strategy.num_replicas_in_sync
        weight = alone if counts is None else counts[0] / counts[1]
        if self._synced and counts is not None:
            self._synced.counted = tf.sign(counts[0])
        gradients, loss_sum, correct = accumulate(
            self._gradients, images, labels, weight, recipe.gradient_accumulation, unrolled=self._compiled
        )
        self._optimizer.learning_rate = rate
        before = [tf.identity(variable.value) for variable in self._head]
        self._optimizer.apply(gradients, variables)
        for variable, old in zip(self._head, before, strict=True):  # whatever the optimizer: its way, some times as far
            variable.assign(old + self._head_factor * (variable - old))
        if counts is not None:
            among.share_means(self._model, counts[0] / counts[1])
        return loss_sum, correct, tf.size(labels)

    def _gradients(self, images: tf.Tensor, labels: tf.Tensor, weight: Any) -> Computed:
        """Of the mean loss, times `weight`; the summed loss and the right answers."""
        with tf.GradientTape() as tape:
            logits = self._logits(images, training=True)
            losses = models.cross_entropy(labels, logits, self._recipe.label_smoothing)
        correct = tf.reduce_sum(tf.cast(tf.argmax(logits, 1) == labels, tf.int32))
        # What their mean makes of each loss, given and not derived: TensorFlow's own way takes 13 operations.
        share = tf.cast(weight, tf.float32) / tf.cast(tf.size(losses), tf.float32)
        shares = tf.fill(tf.shape(losses), tf.cast(self._optimizer.scale_loss(share), losses.dtype))
        gradients = tape.gradient(losses, self._model.trainable_variables, output_gradients=shares)
        return gradients, tf.reduce_sum(losses), correct

    def _look(self, rows: tf.Tensor, channels_last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = self._split(rows, channels_last)
        logits = self._logits(images, training=False)
        classes = logits.shape[-1]
        pairs = tf.one_hot(labels * classes + tf.argmax(logits, 1), classes * classes, dtype=tf.int32)
        confusion = tf.reshape(tf.reduce_sum(pairs, 0), (classes, classes))
        return tf.reduce_sum(models.cross_entropy(labels, logits, 0.0)), confusion

    def _predict(self, images: tf.Tensor) -> tf.Tensor:
        return self._logits(images, training=False)


def _multiply() -> None:
    """Have a CPU's code be generated for products as a dense layer and its gradients take them: 0.03 s, once."""
    square = tf.ones((4, 4))
    for transposed in ({}, {"transpose_a": True}, {"transpose_b": True}):
        tf.linalg.matmul(square, square, **transposed)
