"""The hyperparameters of the training itself, whatever the data set."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from trainjob.training.recipe import CommonRecipe

FACTOR = "factor"
"""Of an optimizer's group: its learning rate, in multiples of the schedule's."""


def seed(number: int, device: torch.device) -> None:
    """Have the random numbers of a device and of the host begin anew.

    `torch.manual_seed` notes who called it, for GPUs that may be found later: 0.1 ms, and 2 in a process just forked.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


@dataclass(frozen=True, kw_only=True)
class Recipe(CommonRecipe):
    """The hyperparameters of the training itself, whatever the data set."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has Nesterov's momentum."""
    learning_rate: float = 0.05
    """The peak of the schedule, above 0. 0.05 suits sgd, 0.003 adamw."""
    weight_decay: float = 5e-4
    """0 or more."""
    channels_last: bool = True
    """Keep the channels of a pixel together in memory: faster convolutions, on GPUs and CPUs alike."""
    compile: bool = False
    """Compile the model with torch.compile; needs a C compiler, which the lean image leaves out."""

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
