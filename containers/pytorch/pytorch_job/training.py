"""The step and the passes over a channel; what every training program here shares."""

import contextlib
import functools
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from trainjob import cifar10
from trainjob.errors import ChannelError, HyperparameterError
from trainjob.stop import Stop, StopRequested
from trainjob.training.between import Between
from trainjob.training.ranks import NO_RECORD, Ranks
from trainjob.training.schedules import SCALINGS, SCHEDULES

from pytorch_job import inputs, saving
from pytorch_job.accumulation import Found, Piece, accumulate
from pytorch_job.ranks import parallel, share_buffers, synchronise
from pytorch_job.recipe import FACTOR, Recipe, seed

log = logging.getLogger(__name__)

REPORT_SECONDS = 15.0
"""Between two signs of life within an epoch."""
_ONE_VALUE = "more than 1 value per channel"
"""What torch's batch normalisation says of a batch that has but one."""
_RANK_SEEDS = 0x9E3779B97F4A7C15
"""Far apart, so that no rank's step has the seed of another's."""


OpenEpoch = Callable[[Any, int, torch.device, int], Iterator[inputs.Batch]]
"""From a data set, an epoch's number, the device and how many batches to leave out, to that epoch's batches."""


class Trainer:
    """The step, and the passes over a channel; it owns no progress, so that a checkpoint need not know it."""

    def __init__(  # noqa: PLR0913 - what a job is made of; the last four by name
        self,
        recipe: Recipe,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        stop: Stop,
        *,
        open_epoch: OpenEpoch = inputs.epoch,
        normalise: inputs.Normalise | None = None,
        side: int = cifar10.IMAGE_SHAPE[1],
        ranks: Ranks | None = None,
    ) -> None:
        """`open_epoch`, `normalise` and the images' `side` are those of the data set; CIFAR-10's unless given."""
        self._recipe, self._optimizer, self._stop = recipe, optimizer, stop
        self._ranks = ranks or Ranks()
        self.device = device
        self._synced = recipe.sync_batch_norm and self._ranks.count > 1
        if self._synced:
            synchronise(model)
        self._blank = torch.zeros((0, 3, side, side), device=device)
        self._model = _compiled(recipe, model)
        self._parallel = parallel(self._model, self._ranks)
        self._dtype = _dtype(recipe, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self._dtype is torch.float16)
        """Keeps small gradients of fp16 from vanishing; has a state only then."""
        self._open_epoch = open_epoch
        self._normalise = normalise or inputs.Normalise(device, recipe.memory_format)

    def train_epoch(
        self, train: Any, progress: saving.Progress, checkpoints: saving.Checkpoints | None = None
    ) -> dict[str, float]:
        """Train on a data set from where `progress` stands to the end of its epoch; the training half of its row.

        Raises:
            CheckpointError: A checkpoint on the way could not be written.
            StopRequested: The job was asked to stop; `progress` stands behind the last whole step.
        """
        begun, earlier = time.perf_counter(), progress.seen
        # Sums stay on the device: reading one out every step would make a GPU wait for the host. One rank's go on.
        first = self._ranks.is_first
        loss_sum = torch.tensor(progress.loss_sum if first else 0.0, dtype=torch.float64, device=self.device)
        correct = torch.tensor(progress.correct if first else 0, device=self.device)
        reported = begun
        between = Between(self._recipe.log_steps, progress, checkpoints, printed=self._ranks.is_first)
        batches = self._open_epoch(train, progress.epoch, self.device, progress.batch)
        self._model.train()
        try:
            for batch, mine, everyone in self._ranks.together(
                batches, _records, self._stop, lambda: between.due(progress.step + 1)
            ):
                loss, hits = self._step(batch, mine * self._ranks.count / everyone, progress)
                loss_sum += loss * mine
                correct += hits
                progress.seen += everyone
                progress.batch, progress.step = progress.batch + 1, progress.step + 1
                if self._ranks.wished:
                    self._add_up(progress, loss_sum, correct)
                    between.act(progress)
                if time.perf_counter() - reported > REPORT_SECONDS:
                    reported = time.perf_counter()
                    rate = (progress.seen - earlier) / (reported - begun)
                    log.info("epoch %d: %d images, %.0f images/s", progress.epoch + 1, progress.seen, rate)
        except StopRequested:
            self._add_up(progress, loss_sum, correct)  # on all ranks, as all of them stop before the same step
            raise
        self._add_up(progress, loss_sum, correct)
        if not progress.seen:
            raise ChannelError(NO_RECORD)
        seconds = time.perf_counter() - begun
        return {
            "epoch": progress.epoch + 1,
            "seconds": round(seconds, 3),
            "images_per_second": round((progress.seen - earlier) / seconds),
            "train:loss": progress.loss_sum / progress.seen,
            "train:accuracy": progress.correct / progress.seen,
        }

    def _add_up(self, progress: saving.Progress, loss_sum: Tensor, correct: Tensor) -> None:
        sums = self._ranks.total([loss_sum.item(), correct.item()])
        progress.loss_sum, progress.correct = float(sums[0]), int(sums[1])

    def _step(
        self, batch: inputs.Batch | None, weight: float, progress: saving.Progress
    ) -> tuple[Tensor | float, Tensor | int]:
        """One step, on a batch or, of a rank that ran dry, on none; its mean loss and its right answers, on the device.

        Gradients are averaged over the ranks, each counting by `weight`: its records, in multiples of their mean.
        """
        recipe, alone = self._recipe, self._ranks.count == 1
        share = SCHEDULES[recipe.schedule](progress.position(recipe.epochs), recipe.warmup)
        peak = recipe.learning_rate * SCALINGS[recipe.learning_rate_scaling](self._ranks.count)
        for group in self._optimizer.param_groups:
            group["lr"] = peak * share * group.get(FACTOR, 1.0)
        # Seeded by the step, not drawn from a running generator: a resumed job then needs no state to go on the same.
        number = ((recipe.seed << 32 | progress.step) + self._ranks.index * _RANK_SEEDS) % 2**64
        generator = torch.Generator().manual_seed(number)
        if not alone:
            seed(number, self.device)  # dropout's, which is kept of the first rank alone
        self._optimizer.zero_grad(set_to_none=True)
        compute = functools.partial(self._backward, weight=1.0 if alone else weight)
        loss, hits = accumulate(compute, *self._augmented(batch, generator), recipe.gradient_accumulation, self._apart)
        self.scaler.step(self._optimizer)
        self.scaler.update()
        if not alone and not self._synced:
            share_buffers(self._model, weight / self._ranks.count)
        return loss, hits

    def _augmented(self, batch: inputs.Batch | None, generator: torch.Generator) -> Piece:
        """Images, normalised, and labels; nothing of a rank that ran dry."""
        if batch is None:
            labels = torch.zeros(0, dtype=torch.int64, device=self.device)
            return (self._blank if self._synced else None), labels  # all meet in synchronised normalisation
        (images, labels), recipe = batch, self._recipe
        floats = self._normalise(inputs.flip(images, generator) if recipe.flip else images)
        if recipe.crop_padding:
            floats = inputs.crop(floats, generator, recipe.crop_padding)
        return floats, labels

    def _backward(self, piece: Piece, share: float, *, weight: float) -> Found:
        """Add the gradients of a piece that is such a share of its batch, which counts `weight`."""
        loss, hits = self._forward(*piece)
        self.scaler.scale(loss * (share * weight)).backward()
        return loss.detach(), hits

    def _apart(self) -> contextlib.AbstractContextManager[None]:
        """Within this, gradients are not averaged over the ranks."""
        model = self._parallel
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else contextlib.nullcontext()

    def _forward(self, images: Tensor | None, labels: Tensor) -> Found:
        """Mean loss and right answers; nought of none."""
        if images is None:
            nought: Tensor = self._parallel(None)
            return nought, 0
        try:
            logits = self._logits(images, self._parallel)
        except ValueError as error:
            if len(images) != 1 or _ONE_VALUE not in str(error):
                raise
            raise HyperparameterError(
                f"A batch, or a part of one that is accumulated, has a single image, and at {tuple(images.shape[2:])} "
                "pixels the model normalises over one value of it, from which nothing can be learnt; choose a "
                "batch_size that leaves no remainder of one, a smaller gradient_accumulation, or larger images."
            ) from None
        if not len(labels):
            return logits.sum(), 0
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)
        return loss, (logits.detach().argmax(1) == labels).sum()

    def _logits(self, images: Tensor, model: nn.Module) -> Tensor:
        """The model's answer in float32, computed in the recipe's precision."""
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            logits: Tensor = model(images)
        return logits.float()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Logits `(n, classes)` in float32 of images `(n, 3, h, w)` uint8 on the device, shown as they are."""
        self._model.eval()
        return self._logits(self._normalise(images), self._model)

    @torch.inference_mode()
    def evaluate(self, validation: Any, progress: saving.Progress, classes: int) -> dict[str, float]:
        """Loss and accuracy over the next epoch of the validation channel: the other half of the epoch's row.

        `progress` gets the confusion matrix, of all ranks.

        Raises:
            StopRequested: The job was asked to stop; the epoch's training half is done and need not be repeated.
        """
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        confusion = torch.zeros((classes, classes), dtype=torch.int64, device=self.device)
        stopped = False
        try:
            for images, labels in self._open_epoch(validation, 0, self.device, 0):
                self._stop.check()
                logits = self.predict(images)
                loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
                pairs = labels * classes + logits.argmax(1)
                confusion += torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        except StopRequested:
            stopped = True
        sums = self._ranks.total([loss_sum.item(), *confusion.flatten().tolist()], stopped=stopped)
        whole = sums[1:].reshape(classes, classes).astype(int)
        seen = int(whole.sum())
        if not seen:
            raise ChannelError(NO_RECORD)
        progress.confusion = whole.tolist()
        return {"validation:loss": float(sums[0]) / seen, "validation:accuracy": float(whole.trace()) / seen}


def _records(batch: inputs.Batch) -> int:
    return len(batch[1])


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
