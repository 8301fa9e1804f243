"""Train a small network on CIFAR-10.

    python -m pytorch_job.train_cifar10        # under /opt/ml, or a folder named by SAGEMAKER_BASE_DIR

Channels `train` and `validation` hold fixed-size records as scripts/prepare_data.py writes them, in any input mode.
"""

import itertools
import logging
import math
import shutil
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from trainjob import channel, cifar10, hyperparameters, lifecycle, metrics
from trainjob.channel import Channel
from trainjob.environment import JobEnvironment
from trainjob.errors import HyperparameterError
from trainjob.stop import Stop, StopRequested

from pytorch_job import inputs, models, saving

log = logging.getLogger(__name__)

EVALUATION_BATCH = 1000
REPORT_SECONDS = 15.0
"""Between two signs of life within an epoch."""

# --- config ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config:
    """The hyperparameters of the job."""

    dataset: Literal["cifar10"] = "cifar10"
    """Chose this program."""
    model: models.Name = "net"
    """`net` for a CPU, `resnet` for a GPU."""
    epochs: int = 8
    """Passes over the train channel, 1 or more."""
    batch_size: int = 128
    """Images a step, 1 or more."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has Nesterov's momentum."""
    learning_rate: float = 0.05
    """The peak of the one-cycle schedule, above 0. 0.05 suits sgd, 0.003 adamw."""
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
    shuffle_window: int = 10_000
    """Records held back to draw batches from, 3 KB each; 0 keeps the channel's order."""
    seed: int = 0
    """Of weights, order and augmentation, 0 or more."""
    compile: bool = False
    """Compile the model with torch.compile; needs a C compiler, which the lean image leaves out."""

    def __post_init__(self) -> None:
        for name, good, what in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "0 to below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("warmup", 0 < self.warmup < 1, "above 0 and below 1"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("crop_padding", 0 <= self.crop_padding <= 16, "0 to 16"),
            ("shuffle_window", self.shuffle_window >= 0, "0 or more"),
            ("seed", 0 <= self.seed < 2**31, "0 to below 2**31"),
        ):
            if not good:
                raise ValueError(f"'{name}' is {getattr(self, name)}; it must be {what}")


def main(env: JobEnvironment, stop: Stop) -> None:
    """Run the job from its hyperparameters to its artifacts; what can go wrong leaves as a TrainJobError."""
    config = hyperparameters.parse(Config, env.hyperparameters)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)

    # --- data -------------------------------------------------------------------------------------
    train = channel.find(env, "train", stop)
    validation = channel.find(env, "validation", stop)

    # --- model ------------------------------------------------------------------------------------
    model = models.build(config.model).to(device, memory_format=torch.channels_last)
    optimizer = _optimizer(config, model)
    log.info("%s on %s, torch %s: %s", config.model, device, torch.__version__, hyperparameters.resolved(config))

    # --- resume -----------------------------------------------------------------------------------
    progress = saving.resume(env.paths.checkpoints, model, optimizer)
    if progress is None:
        progress = saving.Progress(epoch_records=cifar10.TRAIN_RECORDS)
    else:
        log.info("resumed after epoch %d, batch %d, step %d", progress.epoch, progress.batch, progress.step)

    # --- loop -------------------------------------------------------------------------------------
    trainer = Trainer(config, _compiled(config, model), optimizer, device)
    try:
        while progress.epoch < config.epochs:
            row = trainer.train_epoch(train, progress, stop) | trainer.evaluate(validation)
            report = {key: value for key, value in row.items() if key not in metrics.NAMES}
            metrics.emit({name: row[name] for name in metrics.NAMES}, **report)
            progress.finish_epoch(row)
            saving.save_checkpoint(env.paths.checkpoints, model, optimizer, progress)
    except StopRequested:
        path = saving.save_checkpoint(env.paths.checkpoints, model, optimizer, progress)
        log.info("stopped in epoch %d after batch %d: %s", progress.epoch + 1, progress.batch, path)
        return

    # --- save -------------------------------------------------------------------------------------
    saving.save_model(env.paths, model, cifar10.CLASSES, hyperparameters.resolved(config))
    saving.save_record(env.paths, f"CIFAR-10, {config.model}, {config.optimizer}", progress.history)


class Trainer:
    """The step, and the passes over a channel; it owns no progress, so that a checkpoint need not know it."""

    def __init__(
        self, config: Config, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        self._config, self._model, self._optimizer, self._device = config, model, optimizer, device
        self._normalise = inputs.Normalise(device)

    def train_epoch(self, train: Channel, progress: saving.Progress, stop: Stop) -> dict[str, float]:
        """Train from where `progress` stands to the end of its epoch; the training half of the epoch's row.

        Raises:
            StopRequested: The job was asked to stop; `progress` stands behind the last whole step.
        """
        config, begun, skip, earlier = self._config, time.perf_counter(), progress.batch, progress.seen
        # Sums stay on the device: reading one out every step would make a GPU wait for the host.
        loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64, device=self._device)
        correct = torch.tensor(progress.correct, device=self._device)
        reported = begun
        batches = inputs.epoch(train, config.batch_size, config.shuffle_window, (config.seed, progress.epoch))
        self._model.train()
        try:
            for images, labels in itertools.islice(batches, skip, None):
                if stop.requested:
                    raise StopRequested
                loss, hits = self._step(images.to(self._device), labels.to(self._device), progress)
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
        config = self._config
        rate = config.learning_rate * one_cycle(_position(progress, config.epochs), config.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # Seeded by the step, not drawn from a running generator: a resumed job then needs no state to go on the same.
        generator = torch.Generator().manual_seed(config.seed << 32 | progress.step)
        inputs_ = inputs.augment(self._normalise(images), generator, config.flip, config.crop_padding)
        logits = self._model(inputs_)
        loss = functional.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    @torch.inference_mode()
    def evaluate(self, validation: Channel) -> dict[str, float]:
        """Loss and accuracy over the next epoch of the validation channel: the other half of the epoch's row."""
        self._model.eval()
        loss_sum = torch.zeros((), dtype=torch.float64, device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        seen = 0
        for images, labels_ in inputs.epoch(validation, EVALUATION_BATCH):
            labels = labels_.to(self._device)
            logits = self._model(self._normalise(images.to(self._device)))
            loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
            seen += len(labels)
        return {"validation:loss": loss_sum.item() / seen, "validation:accuracy": correct.item() / seen}


def one_cycle(position: float, warmup: float) -> float:
    """The learning rate as a share of its peak: up in a straight line until `warmup`, then down to nothing.

    Args:
        position: Share of the training that is done, 0..1.
        warmup: Where the peak is, above 0 and below 1.
    """
    if position < warmup:
        return 0.1 + 0.9 * position / warmup
    return (1 - position) / (1 - warmup)


def _position(progress: saving.Progress, epochs: int) -> float:
    # A stream does not tell its length beforehand: the first epoch's is an estimate, and a longer one waits at its end.
    return (progress.epoch + min(1.0, progress.seen / progress.epoch_records)) / epochs


def _optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    if config.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(
        model.parameters(),
        config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
        fused=True,
    )


def _compiled(config: Config, model: nn.Module) -> nn.Module:
    if not config.compile:
        return model
    if not any(shutil.which(compiler) for compiler in ("g++", "gcc", "clang")):
        raise HyperparameterError(
            "'compile' is true, but this machine has no C compiler (g++, gcc or clang), which torch.compile needs when "
            "the job runs; set compile=false, or use the image's build target `compile`."
        )
    return torch.compile(model)  # type: ignore[return-value]


if __name__ == "__main__":
    lifecycle.run(main)
