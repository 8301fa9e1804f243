"""The hyperparameters of the training itself, whatever the data set."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from trainjob.intervals import Intervals
from trainjob.local_ranks import MOST_PROCESSES

FACTOR = "factor"
"""Of an optimizer's group: its learning rate, in multiples of the schedule's."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Intervals):
    """The hyperparameters of the training itself, whatever the data set."""

    epochs: int = 8
    """Passes over the train channel, 1 or more."""
    batch_size: int = 128
    """Images a step, 1 or more."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has Nesterov's momentum."""
    learning_rate: float = 0.05
    """The peak of the schedule, above 0. 0.05 suits sgd, 0.003 adamw."""
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    """How the learning rate falls after `warmup`: in a straight line, or along half a cosine."""
    momentum: float = 0.9
    """Of sgd, 0 to below 1."""
    weight_decay: float = 5e-4
    """0 or more."""
    warmup: float = 0.25
    """Share of the training in which the learning rate rises, above 0 and below 1."""
    label_smoothing: float = 0.0
    """0 to below 1."""
    flip: bool = True
    """Show half of the images mirrored."""
    crop_padding: int = 0
    """Move each image by up to so many pixels, 0 to 16. 4 suits resnet."""
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
    channels_last: bool = True
    """Keep the channels of a pixel together in memory: faster convolutions, on GPUs and CPUs alike."""
    compile: bool = False
    """Compile the model with torch.compile; needs a C compiler, which the lean image leaves out."""
    seed: int = 0
    """Of weights, order and augmentation, 0 or more."""

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

    @property
    def memory_format(self) -> torch.memory_format:
        """How images and convolutions lie in memory."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def optimize(
        self, model: nn.Module, head: nn.Module | None = None, head_factor: float = 1.0
    ) -> torch.optim.Optimizer:
        """The optimizer of the model's weights; those of `head` learn `head_factor` times as fast."""
        groups: Any = model.parameters()
        if head is not None:
            last = list(head.parameters())  # in their order, as a checkpoint knows a weight's state by its place alone
            apart = {id(each) for each in last}
            groups = [
                {"params": [each for each in model.parameters() if id(each) not in apart]},
                {"params": last, FACTOR: head_factor},
            ]
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, self.learning_rate, weight_decay=self.weight_decay, fused=True)
        return torch.optim.SGD(
            groups,
            self.learning_rate,
            momentum=self.momentum,
            nesterov=self.momentum > 0,
            weight_decay=self.weight_decay,
            fused=True,
        )
