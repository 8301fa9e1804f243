"""A callback for scripts that train with Keras's own `fit`: metrics lines, checkpoints to go on from, SIGTERM.

job = JobCallback(model)
model.fit(train, epochs=10, validation_data=validation, initial_epoch=job.epoch, callbacks=[job])
"""

import logging
from collections.abc import Mapping
from typing import Any

import keras
from trainjob import environment, lifecycle, metrics
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop

from keras_job import saving

log = logging.getLogger(__name__)

NAMES = {
    "loss": "train:loss",
    "accuracy": "train:accuracy",
    "val_loss": "validation:loss",
    "val_accuracy": "validation:accuracy",
}
"""What `fit` calls a metric, and what the MetricDefinitions do; others keep their names."""


class JobCallback(keras.callbacks.Callback):
    """Makes `fit` a well-behaved job. It saves no model: that is the script's own affair."""

    def __init__(self, model: keras.Model, env: JobEnvironment | None = None, stop: Stop | None = None) -> None:
        """Restore the newest checkpoint, if there is one, and listen for SIGTERM.

        Args:
            model: Compiled and built; it gets the weights, the optimizer's state and dropout's seeds back.
            env: The job; read where it is not given.
            stop: A stop flag that something else sets; else SIGTERM does.

        Raises:
            CheckpointError: The checkpoint is of another model or optimizer.
            EnvironmentFileError: The platform's files are malformed.
        """
        super().__init__()
        self._folder = (env or environment.read()).paths.checkpoints
        self._stop = stop or lifecycle.listen()
        model.optimizer.build(model.trainable_variables)
        progress = saving.resume(self._folder, model, model.optimizer)
        self._progress = progress or saving.Progress(epoch_records=0)
        self._batches = 0
        if progress:
            log.info("resumed after epoch %d, step %d", progress.epoch, progress.step)

    @property
    def epoch(self) -> int:
        """Epochs finished; `fit` wants it as `initial_epoch`."""
        return self._progress.epoch

    @property
    def stopped(self) -> bool:
        """Whether the job was asked to stop: the script should end, and need not save a model."""
        return self._stop.requested

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
            path = saving.save_checkpoint(self._folder, self.model, self.model.optimizer, self._progress)
            log.info("stopped in epoch %d: %s", epoch + 1, path)
            return
        values = {NAMES.get(name, name): float(value) for name, value in (logs or {}).items()}
        metrics.emit(values, epoch=epoch + 1)
        self._progress.epoch = epoch + 1
        self._progress.history.append({"epoch": epoch + 1, **values})
        saving.save_checkpoint(self._folder, self.model, self.model.optimizer, self._progress)
