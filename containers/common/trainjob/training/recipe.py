"""What a training is told whatever the framework and the data set; hyperparameters of every program."""

import math
from dataclasses import dataclass
from typing import Literal

from trainjob.dataset import Framing
from trainjob.hyperparameters import MOST_PROCESSES
from trainjob.training.intervals import Intervals


@dataclass(frozen=True, kw_only=True)
class CommonRecipe(Intervals):
    """The hyperparameters of the training itself that both frameworks have."""

    epochs: int = 8
    """Passes over the train channel, 1 or more."""
    batch_size: int = 128
    """Images a step, 1 or more."""
    learning_rate: float
    """The peak of the schedule, above 0."""
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    """How the learning rate falls after `warmup`: in a straight line, or along half a cosine."""
    momentum: float = 0.9
    """Of sgd, 0 to below 1."""
    weight_decay: float
    """0 or more."""
    warmup: float = 0.25
    """Share of the training in which the learning rate rises, above 0 and below 1."""
    label_smoothing: float = 0.0
    """0 to below 1."""
    flip: bool = True
    """Show half of the images mirrored."""
    crop_padding: int = 0
    """Move each image by up to so many pixels, 0 to 16. 4 suits residual networks."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What convolutions compute in. `auto`: on a GPU bf16, or fp16 where it has no bf16; on a CPU fp32."""
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = "none"
    """What several processes, whose batches add up, multiply the learning rate by: 1, their number, its square root."""
    gradient_accumulation: int = 1
    """Pieces that a batch is computed in, one after another, 1 or more: the memory of one, the gradient of all. Where
    batch normalisation looks at pieces, and where dropout draws, this has a bearing on the result."""
    sync_batch_norm: bool = False
    """Several processes normalise by the statistics of all their records, not each by its own's."""
    processes_per_host: int = 0
    """Processes on each host, which share its data: 0 for one to each GPU, or one where there is none."""
    seed: int = 0
    """Of weights, order, dropout and augmentation, 0 or more."""

    def __post_init__(self) -> None:
        for name, good, what in self.ranges():
            if not good:
                raise ValueError(f"'{name}' is {getattr(self, name)}; it must be {what}")

    def ranges(self) -> list[tuple[str, bool, str]]:
        """Of every bounded field: its name, whether its value is good, and what it must be."""
        return [
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "0 to below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("warmup", 0 < self.warmup < 1, "above 0 and below 1"),
            ("processes_per_host", 0 <= self.processes_per_host <= MOST_PROCESSES, f"0 to {MOST_PROCESSES}"),
            ("gradient_accumulation", self.gradient_accumulation >= 1, "1 or more"),
            (
                "sync_batch_norm",
                not (self.sync_batch_norm and self.gradient_accumulation > 1),
                "false where gradient_accumulation is above 1, as hosts may have other numbers of pieces",
            ),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("crop_padding", 0 <= self.crop_padding <= 16, "0 to 16"),
            ("seed", 0 <= self.seed < 2**31, "0 to below 2**31"),
            *super().ranges(),
        ]


@dataclass(frozen=True, kw_only=True)
class RecordsRecipe(CommonRecipe):
    """What a training on small records, such as CIFAR-10's, is told about them besides."""

    shuffle_window: int = 10_000
    """Records held back to draw batches from, 3 KB each; 0 keeps the channel's order."""
    framing: Framing = "auto"
    """Of the records in both channels; `auto` tells it from their first bytes."""
    cache: bool = False
    """Stream the first epoch only, and keep its records in memory."""
    cache_mb: int = 2048
    """Budget of the cache for each channel, megabytes of 10**6 bytes; a larger channel is streamed every epoch. The
    processes of a host share it."""

    def ranges(self) -> list[tuple[str, bool, str]]:
        """Of every bounded field: its name, whether its value is good, and what it must be."""
        return [
            *super().ranges(),
            ("shuffle_window", self.shuffle_window >= 0, "0 or more"),
            ("cache_mb", self.cache_mb >= 1, "1 or more"),
        ]
