"""The ranks of a job in Keras: the strategy that adds up gradients among the hosts, and sums by the same way."""

import functools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from trainjob import lifecycle
from trainjob.environment import JobEnvironment
from trainjob.errors import PeerError
from trainjob.launching.peers import SILENCE_SECONDS
from trainjob.stop import Stop
from trainjob.training.ranks import ONE_OF_GPUS, Ranks, Values

from keras_job.tracing import traced

log = logging.getLogger(__name__)

_VERDICT_SECONDS = SILENCE_SECONDS + 5
"""How long the launchers may take to find out who is gone, and to end this process."""
_CONNECTION = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
"""What TensorFlow's collectives end with where a host is gone."""
_RANK_SEEDS = 0x9E3779B1
"""Far apart, so that no rank draws what another does."""
_MEANS = ("moving_mean", "moving_variance")


@contextmanager
def joined(env: JobEnvironment, stop: Stop) -> Iterator[tuple[Ranks, tf.distribute.Strategy]]:
    """This process among the job's, for as long as the block lasts; alone if it has no others.

    TensorFlow must not have computed anything in this process before.

    Raises:
        PeerError: A collective failed for a reason that no launcher has found.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) > 1:
        log.warning(ONE_OF_GPUS, len(gpus))
        tf.config.set_visible_devices(gpus[:1], "GPU")  # else it takes the memory of all of them
    if env.ranks == 1:
        yield Ranks(), tf.distribute.get_strategy()
        return
    try:
        logging.getLogger("tensorflow").setLevel(logging.WARNING)  # it tells of every collective it makes
        with lifecycle.undisturbed():  # it takes SIGTERM for itself
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        log.info("rank %d of %d", env.rank, env.ranks)
        ranks = Ranks(env.rank, env.ranks, _Add(strategy))
        yield ranks, strategy
        ranks.total(0)  # whoever left first would look lost to the others
    except _CONNECTION as error:
        deadline = time.monotonic() + _VERDICT_SECONDS
        while time.monotonic() < deadline and not stop.requested:
            time.sleep(0.1)
        first = error.message.splitlines()[0] if error.message else type(error).__name__
        raise PeerError(
            f"The hosts cannot exchange gradients: {first}; look at the ends of all hosts' logs for the first error."
        ) from error


class _Add:
    """The sum of values over the ranks."""

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self._function = traced(self._add, input_signature=[tf.TensorSpec((None,), tf.float64)])

    def __call__(self, values: Values) -> Values:
        result: Values = self._function(values).numpy()
        return result

    def _add(self, values: tf.Tensor) -> tf.Tensor:
        given = self._strategy.run(tf.identity, (values,))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, given, axis=None)


def seed(base: int, rank: int) -> int:
    """The seed of a rank's augmentation; the first's is the job's own."""
    return base ^ (rank * _RANK_SEEDS & 0x7FFFFFFF)


def spread_seeds(model: keras.Model, ranks: Ranks) -> None:
    """Have dropout draw otherwise on every rank; to be done once, on seeds as the first rank has them."""
    for variable in model.non_trainable_variables:
        if not _is_float(variable):
            state = np.array(variable)
            state[0] ^= np.asarray(ranks.index * _RANK_SEEDS & 0x7FFFFFFF, state.dtype)
            variable.assign(state)


class Synchronised:
    """Has every batch normalisation of a model look at all ranks' records.

    A rank without any takes part with a record that does not count. Keras's own way to take part with none, an empty
    batch, is not open: where a CPU has AVX-512 VNNI, TensorFlow 2.21 convolves that to a shape that is none of its own.
    """

    def __init__(self, model: keras.Model) -> None:
        self.counted: tf.Tensor | None = None
        """Whether this rank's records count, 1 or 0; to be set while a step is traced, before the model is called."""
        for layer in model._flatten_layers():  # of nested models, too
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
                layer._moments = functools.partial(self._moments, layer)

    def _moments(self, layer: Any, images: tf.Tensor, mask: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of each channel over all ranks, `(channels,)`, in one sum."""
        if mask is not None:
            raise ValueError(f"{layer.name} masks its records, which are not counted apart among ranks yet")
        axes, channels = layer._reduction_axes, images.shape[layer.axis]
        values = tf.cast(tf.size(images) // channels, images.dtype)
        mine = tf.concat((tf.reduce_sum(images, axes), tf.reduce_sum(tf.square(images), axes), values[None]), 0)
        mine *= tf.cast(self.counted, images.dtype)
        sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, mine)
        mean, square = sums[:channels] / sums[-1], sums[channels:-1] / sums[-1]
        return mean, tf.maximum(square - tf.square(mean), 0.0)


def share_means(model: keras.Model, weight: tf.Tensor) -> None:
    """In a replica: replace moving means by their mean over the ranks, each counting by its share of the records."""
    means = [variable for variable in model.non_trainable_variables if variable.name in _MEANS]
    if not means:
        return
    whole = tf.concat([tf.reshape(variable.value, (-1,)) for variable in means], 0)
    whole *= tf.cast(weight, whole.dtype)
    whole = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, whole)
    parts = tf.split(whole, [int(np.prod(variable.shape)) for variable in means])
    for variable, mean in zip(means, parts, strict=True):
        variable.assign(tf.reshape(mean, variable.shape))


def weights(model: keras.Model) -> list[NDArray[np.generic]]:
    """All that a model has learnt, moving means included."""
    return [np.asarray(variable) for variable in model.variables if _is_float(variable)]


def _is_float(variable: keras.Variable) -> bool:
    return "float" in str(variable.dtype)
