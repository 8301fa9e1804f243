"""The hyperparameters of the training itself, whatever the data set."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf
from trainjob.intervals import Intervals
from trainjob.local_ranks import MOST_PROCESSES

POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}


@dataclass(frozen=True, kw_only=True)
class Recipe(Intervals):
    """The hyperparameters of the training itself, whatever the data set."""

    epochs: int = 8
    """Passes over the train channel, 1 or more."""
    batch_size: int = 128
    """Images a step, 1 or more."""
    optimizer: Literal["sgd", "adam", "rmsprop"] = "adam"
    """`sgd` has Nesterov's momentum."""
    learning_rate: float = 0.003
    """The peak of the schedule, above 0. 0.003 suits adam, 0.05 sgd, 0.001 rmsprop."""
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    """How the learning rate falls after `warmup`: in a straight line, or along half a cosine."""
    momentum: float = 0.9
    """Of sgd, 0 to below 1."""
    weight_decay: float = 0.0
    """Apart from the gradient, times the learning rate, 0 or more."""
    warmup: float = 0.25
    """Share of the training in which the learning rate rises, above 0 and below 1."""
    label_smoothing: float = 0.0
    """0 to below 1."""
    flip: bool = True
    """Show half of the images mirrored."""
    crop_padding: int = 0
    """Move each image by up to so many pixels, 0 to 16. 4 suits fast."""
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
    jit_compile: Literal["auto", "true", "false"] = "auto"
    """Compile the step with XLA. `auto`: on a GPU; on a CPU it takes five times as long."""
    steps_per_execution: int = 0
    """Steps between two looks at the stop flag; 0 is 32 on a GPU, which the host would else keep waiting, and 1 on a
    CPU. No bearing on the result."""
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
            ("steps_per_execution", 0 <= self.steps_per_execution <= 1000, "0 to 1000"),
            ("seed", 0 <= self.seed < 2**31, "0 to below 2**31"),
            *super().ranges(),
        ]

    def policy(self) -> str:
        """Name of the dtype policy of the model's layers on this machine."""
        if self.precision != "auto":
            return POLICIES[self.precision]
        if not has_gpu():
            return POLICIES["fp32"]
        gpu = tf.config.list_physical_devices("GPU")[0]
        capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        return POLICIES["bf16" if capability >= (8, 0) else "fp16"]

    def optimize(self, model: keras.Model) -> keras.optimizers.Optimizer:
        """The optimizer of the model's weights, its variables made."""
        common: dict[str, Any] = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay or None}
        if self.optimizer == "adam":
            optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(**common)
        elif self.optimizer == "rmsprop":
            optimizer = keras.optimizers.RMSprop(**common)
        else:
            optimizer = keras.optimizers.SGD(momentum=self.momentum, nesterov=self.momentum > 0, **common)
        if self.policy() == POLICIES["fp16"]:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(model.trainable_variables)
        return optimizer


def has_gpu() -> bool:
    """Whether TensorFlow has a GPU to compute on."""
    return bool(tf.config.list_physical_devices("GPU"))
