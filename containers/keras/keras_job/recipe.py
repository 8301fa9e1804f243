"""The hyperparameters of the training itself, whatever the data set."""

from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf
from trainjob.training.recipe import CommonRecipe

POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}


@dataclass(frozen=True, kw_only=True)
class Recipe(CommonRecipe):
    """The hyperparameters of the training itself, whatever the data set."""

    optimizer: Literal["sgd", "adam", "rmsprop"] = "adam"
    """`sgd` has Nesterov's momentum."""
    learning_rate: float = 0.003
    """The peak of the schedule, above 0. 0.003 suits adam, 0.05 sgd, 0.001 rmsprop."""
    weight_decay: float = 0.0
    """Apart from the gradient, times the learning rate, 0 or more."""
    jit_compile: Literal["auto", "true", "false"] = "auto"
    """Compile the step with XLA. `auto`: on a GPU; on a CPU it takes five times as long."""
    steps_per_execution: int = 0
    """Steps between two looks at the stop flag; 0 is 32 on a GPU, which the host would else keep waiting, and 1 on a
    CPU. No bearing on the result."""

    def ranges(self) -> list[tuple[str, bool, str]]:
        """Of every bounded field: its name, whether its value is good, and what it must be."""
        return [("steps_per_execution", 0 <= self.steps_per_execution <= 1000, "0 to 1000"), *super().ranges()]

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
