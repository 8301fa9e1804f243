"""A callback for scripts that train with Keras's own `fit`: metrics lines, checkpoints to go on from, SIGTERM.

with JobCallback(model, env, stop, train) as job:
    model.fit(train.batches(), epochs=10, initial_epoch=job.epoch, callbacks=[job])
"""

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import keras
import tensorflow as tf
from trainjob import environment, lifecycle, metrics
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop, StopRequested

from keras_job import saving
from keras_job.inputs import Epochs

log = logging.getLogger(__name__)

NAMES = {
    "loss": "train:loss",
    "accuracy": "train:accuracy",
    "val_loss": "validation:loss",
    "val_accuracy": "validation:accuracy",
}
"""What `fit` calls a metric, and what the MetricDefinitions do; others keep their names."""


class JobCallback(keras.callbacks.Callback):
    """Makes `fit` a well-behaved job. It saves no model: that is the script's own affair.

    It is to be used in a `with` around `fit`: a stop that comes while that waits for data reaches no callback.
    """

    def __init__(
        self,
        model: keras.Model,
        env: JobEnvironment | None = None,
        stop: Stop | None = None,
        train: Epochs | None = None,
    ) -> None:
        """Restore the newest checkpoint, if there is one, and listen for SIGTERM.

        Args:
            model: Compiled and built; it gets the weights, the optimizer's state and dropout's seeds back.
            env: The job; read where it is not given.
            stop: The flag that the script's channels look at, as `lifecycle.listen()` gave it; without it, one of the
                callback's own, which no channel hears of.
            train: What `fit` trains on: gets the number of each epoch, so that a job that goes on does not show its
                records in the order of the first epochs again.

        Raises:
            CheckpointError: The checkpoint is of another model or optimizer.
            EnvironmentFileError: The platform's files are malformed.
        """
        super().__init__()
        self.set_model(model)
        self._train = train
        self._folder = (env or environment.read()).paths.checkpoints
        self._stop = stop or lifecycle.listen()
        model.optimizer.build(model.trainable_variables)
        progress = saving.resume(self._folder, model, model.optimizer)
        self._progress = progress or saving.Progress(epoch_records=0)
        self._batches = 0
        if progress:
            log.info("resumed after epoch %d, step %d", progress.epoch, progress.step)

    def __enter__(self) -> "JobCallback":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Save a checkpoint where a stop ended a wait for data, which `fit` takes for an error of its input."""
        if not self.stopped or not _is_stop(error):
            return False
        self._save_stopped()
        return True

    @property
    def epoch(self) -> int:
        """Epochs finished; `fit` wants it as `initial_epoch`."""
        return self._progress.epoch

    @property
    def stopped(self) -> bool:
        """Whether the job was asked to stop: the script should end, and need not save a model."""
        return self._stop.requested

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Have the channel read in the order of this epoch of the training, be it the container's first."""
        if self._train is not None:
            self._train.number = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """End the training between two batches once the job is to stop."""
        self._progress.step += batch + 1 - self._batches
        self._batches = batch + 1
        if self._stop.requested:
            self.model.stop_training = True

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Do not validate to the end once the job is to stop."""
        if self._stop.requested:
            self.model.stop_training = self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Print the epoch's metrics line and save a checkpoint.

        A stop leaves a checkpoint too: from there the epoch under way is begun again, with the weights it had reached.
        """
        self._batches = 0
        if self._stop.requested:
            self._save_stopped()
            return
        values = {NAMES.get(name, name): float(value) for name, value in (logs or {}).items()}
        metrics.emit(values, epoch=epoch + 1)
        self._progress.epoch = epoch + 1
        self._progress.history.append({"epoch": epoch + 1, **values})
        saving.save_checkpoint(self._folder, self.model, self.model.optimizer, self._progress)

    def _save_stopped(self) -> None:
        path = saving.save_checkpoint(self._folder, self.model, self.model.optimizer, self._progress)
        log.info("stopped in epoch %d: %s", self._progress.epoch + 1, path)


def _is_stop(error: BaseException | None) -> bool:
    # Of an error in a generator TensorFlow hands on no more than its text, which begins with its name.
    return isinstance(error, StopRequested) or (
        isinstance(error, tf.errors.OpError) and StopRequested.__name__ in error.message
    )
