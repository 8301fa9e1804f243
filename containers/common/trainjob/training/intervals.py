"""How often a training saves and tells; hyperparameters of every program."""

from dataclasses import dataclass
from pathlib import Path

from trainjob.stop import Stop
from trainjob.training.autosave import Autosave


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """How often a training saves and tells."""

    checkpoint_seconds: int = 600
    """Between two checkpoints, 0 or more; 0 takes none by time. The end of an epoch takes one in any case."""
    checkpoint_steps: int = 0
    """Between two checkpoints, 0 or more; 0 takes none by steps."""
    keep_checkpoints: int = 2
    """Of the newest so many are kept, 1 or more."""
    log_steps: int = 0
    """Print train:step_loss once every so many steps, 0 or more; 0 is never."""

    def ranges(self) -> list[tuple[str, bool, str]]:
        """Of every bounded field: its name, whether its value is good, and what it must be."""
        return [
            ("checkpoint_seconds", self.checkpoint_seconds >= 0, "0 or more"),
            ("checkpoint_steps", self.checkpoint_steps >= 0, "0 or more"),
            ("keep_checkpoints", self.keep_checkpoints >= 1, "1 or more"),
            ("log_steps", self.log_steps >= 0, "0 or more"),
        ]

    def autosave(self, folder: Path, stop: Stop, suffix: str, step: int) -> Autosave:
        """The checkpoints of a training that has done so many steps."""
        return Autosave(
            folder,
            stop,
            seconds=self.checkpoint_seconds,
            steps=self.checkpoint_steps,
            keep=self.keep_checkpoints,
            suffix=suffix,
            step=step,
        )
