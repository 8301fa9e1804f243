"""The step and the passes over a channel, and the recipe they follow; what every training program here shares."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from trainjob.errors import HyperparameterError
from trainjob.stop import Stop

from pytorch_job import inputs, saving

log = logging.getLogger(__name__)

REPORT_SECONDS = 15.0
"""Between two signs of life within an epoch."""
FACTOR = "factor"
"""Of an optimizer's group: its learning rate, in multiples of the schedule's."""


OpenEpoch = Callable[[Any, int, torch.device, int], Iterator[inputs.Batch]]
"""From a data set, an epoch's number, the device and how many batches to leave out, to that epoch's batches."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
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
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("crop_padding", 0 <= self.crop_padding <= 16, "0 to 16"),
            ("seed", 0 <= self.seed < 2**31, "0 to below 2**31"),
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


class Trainer:
    """The step, and the passes over a channel; it owns no progress, so that a checkpoint need not know it."""

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        stop: Stop,
        *,
        open_epoch: OpenEpoch = inputs.epoch,
        normalise: inputs.Normalise | None = None,
    ) -> None:
        """`open_epoch` and `normalise` are those of the data set; CIFAR-10's unless given."""
        self._recipe, self._optimizer, self._stop = recipe, optimizer, stop
        self.device = device
        self._model = _compiled(recipe, model)
        self._dtype = _dtype(recipe, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self._dtype is torch.float16)
        """Keeps small gradients of fp16 from vanishing; has a state only then."""
        self._open_epoch = open_epoch
        self._normalise = normalise or inputs.Normalise(device, recipe.memory_format)

    def train_epoch(self, train: Any, progress: saving.Progress) -> dict[str, float]:
        """Train on a data set from where `progress` stands to the end of its epoch; the training half of its row.

        Raises:
            StopRequested: The job was asked to stop; `progress` stands behind the last whole step.
        """
        begun, earlier = time.perf_counter(), progress.seen
        # Sums stay on the device: reading one out every step would make a GPU wait for the host.
        loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64, device=self.device)
        correct = torch.tensor(progress.correct, device=self.device)
        reported = begun
        batches = self._open_epoch(train, progress.epoch, self.device, progress.batch)
        self._model.train()
        try:
            for images, labels in batches:
                self._stop.check()
                loss, hits = self._step(images, labels, progress)
                loss_sum += loss * len(labels)
                correct += hits
                progress.seen += len(labels)
                progress.batch, progress.step = progress.batch + 1, progress.step + 1
                if time.perf_counter() - reported > REPORT_SECONDS:
                    reported = time.perf_counter()
                    rate = (progress.seen - earlier) / (reported - begun)
                    log.info("epoch %d: %d images, %.0f images/s", progress.epoch + 1, progress.seen, rate)
        finally:
            progress.loss_sum, progress.correct = loss_sum.item(), int(correct.item())
        seconds = time.perf_counter() - begun
        return {
            "epoch": progress.epoch + 1,
            "seconds": round(seconds, 3),
            "images_per_second": round((progress.seen - earlier) / seconds),
            "train:loss": progress.loss_sum / progress.seen,
            "train:accuracy": progress.correct / progress.seen,
        }

    def _step(self, images: Tensor, labels: Tensor, progress: saving.Progress) -> tuple[Tensor, Tensor]:
        """One step on a batch; its mean loss and its number of right answers, still on the device."""
        recipe = self._recipe
        share = SCHEDULES[recipe.schedule](_position(progress, recipe.epochs), recipe.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * share * group.get(FACTOR, 1.0)
        # Seeded by the step, not drawn from a running generator: a resumed job then needs no state to go on the same.
        generator = torch.Generator().manual_seed(recipe.seed << 32 | progress.step)
        floats = self._normalise(inputs.flip(images, generator) if recipe.flip else images)
        if recipe.crop_padding:
            floats = inputs.crop(floats, generator, recipe.crop_padding)
        logits = self._logits(floats)
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self._optimizer)
        self.scaler.update()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def _logits(self, images: Tensor) -> Tensor:
        """The model's answer in float32, computed in the recipe's precision."""
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            logits: Tensor = self._model(images)
        return logits.float()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Logits `(n, classes)` in float32 of images `(n, 3, h, w)` uint8 on the device, shown as they are."""
        self._model.eval()
        return self._logits(self._normalise(images))

    @torch.inference_mode()
    def evaluate(self, validation: Any, progress: saving.Progress) -> dict[str, float]:
        """Loss and accuracy over the next epoch of the validation channel: the other half of the epoch's row.

        `progress` gets the confusion matrix.

        Raises:
            StopRequested: The job was asked to stop; the epoch's training half is done and need not be repeated.
        """
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        confusion = torch.zeros((), dtype=torch.int64, device=self.device)
        for images, labels in self._open_epoch(validation, 0, self.device, 0):
            self._stop.check()
            logits = self.predict(images)
            loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
            classes = logits.shape[1]
            pairs = labels * classes + logits.argmax(1)
            confusion = confusion + torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        progress.confusion = confusion.tolist()
        seen = int(confusion.sum().item())
        return {
            "validation:loss": loss_sum.item() / seen,
            "validation:accuracy": confusion.trace().item() / seen,
        }


def one_cycle(position: float, warmup: float) -> float:
    """The learning rate as a share of its peak: up in a straight line until `warmup`, then down to nothing.

    Args:
        position: Share of the training that is done, 0..1.
        warmup: Where the peak is, above 0 and below 1.
    """
    if position < warmup:
        return 0.1 + 0.9 * position / warmup
    return (1 - position) / (1 - warmup)


def cosine(position: float, warmup: float) -> float:
    """The learning rate as a share of its peak: up in a straight line until `warmup`, then down along half a cosine."""
    if position < warmup:
        return one_cycle(position, warmup)
    return 0.5 + 0.5 * math.cos(math.pi * (position - warmup) / (1 - warmup))


SCHEDULES = {"one_cycle": one_cycle, "cosine": cosine}


def _position(progress: saving.Progress, epochs: int) -> float:
    # A stream does not tell its length beforehand: the first epoch's is an estimate, and a longer one waits at its end.
    return (progress.epoch + min(1.0, progress.seen / progress.epoch_records)) / epochs


def _dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    if recipe.precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _compiled(recipe: Recipe, model: nn.Module) -> nn.Module:
    if not recipe.compile:
        return model
    if not any(shutil.which(compiler) for compiler in ("g++", "gcc", "clang")):
        raise HyperparameterError(
            "'compile' is true, but this machine has no C compiler (g++, gcc or clang), which torch.compile needs when "
            "the job runs; set compile=false, or use the image's build target `compile`."
        )
    return torch.compile(model)  # type: ignore[return-value]
