"""What a training does between two steps where it is due: tell the loss, take a checkpoint."""

from typing import Protocol

from trainjob import metrics
from trainjob.training.progress import Progress

STEP_LOSS = "train:step_loss"
"""The metric's name."""


class Checkpoints(Protocol):
    """Those of a framework."""

    def due(self, step: int) -> bool:
        """Whether one should be taken after that step."""
        ...

    def save(self, progress: Progress) -> None:
        """Take one."""
        ...


class Between:
    """For one epoch, or what is left of it."""

    def __init__(
        self, log_steps: int, progress: Progress, checkpoints: Checkpoints | None = None, *, printed: bool = True
    ) -> None:
        """From where `progress` stands.

        Args:
            log_steps: The loss is told once every so many steps, its mean over all since the line before; 0 is never.
            progress: Read now, and whenever something is due.
            checkpoints: Where there are none, none is taken.
            printed: Whether this is the rank that tells the loss.
        """
        self._log_steps, self._checkpoints, self._printed = log_steps, checkpoints, printed
        self._note(progress)

    def due(self, step: int) -> bool:
        """Whether something is to be done after that step."""
        return self._tells(step) or (self._checkpoints is not None and self._checkpoints.due(step))

    def act(self, progress: Progress) -> None:
        """Do what is due, `progress` being up to date.

        Raises:
            CheckpointError: A checkpoint could not be written.
        """
        if self._tells(progress.step):
            mean = (progress.loss_sum - self._loss_sum) / (progress.seen - self._seen)
            if self._printed:
                metrics.emit({STEP_LOSS: mean}, step=progress.step)
            self._note(progress)
        if self._checkpoints is not None and self._checkpoints.due(progress.step):
            self._checkpoints.save(progress)

    def _tells(self, step: int) -> bool:
        return self._log_steps > 0 and step // self._log_steps > self._step // self._log_steps

    def _note(self, progress: Progress) -> None:
        self._step, self._seen, self._loss_sum = progress.step, progress.seen, progress.loss_sum
