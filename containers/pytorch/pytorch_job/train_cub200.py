"""Train a network on photographs: CUB-200-2011, or any set of labelled JPEGs.

    python -m pytorch_job.train_cub200        # under /opt/ml, or a folder named by SAGEMAKER_BASE_DIR

Channels `train` and `validation`, in any form of docs/photographs.md and any input mode. With a channel `test` the
finished model is evaluated on that, once; with a channel `pretrained` training begins with the weights in it.
"""

import functools
import logging
from dataclasses import dataclass
from typing import Literal

import torch
from trainjob import channel, cub200, hosts, hyperparameters, lifecycle, memory, metrics
from trainjob.environment import JobEnvironment
from trainjob.photographs import dali_pipelines
from trainjob.photographs.showing import ShowingRecipe, Shown
from trainjob.stop import Stop, StopRequested
from trainjob.training import evaluation, record
from trainjob.training.ranks import Ranks

from pytorch_job import inputs, models, photographs, saving
from pytorch_job.ranks import joined, weights
from pytorch_job.recipe import Recipe, seed
from pytorch_job.training import Trainer

log = logging.getLogger(__name__)

# --- config ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config(Recipe, ShowingRecipe):
    """The hyperparameters of the job."""

    dataset: Literal["cub200"] = "cub200"
    """Chose this program."""
    model: str = "auto"
    """Any classification network of torchvision. `auto`: resnet50 on a GPU, resnet18 on a CPU."""
    epochs: int = 30
    """Passes over the train channel, 1 or more."""
    batch_size: int = 32
    """Images a step, 1 or more."""
    learning_rate: float = 0.01
    """The peak of the schedule, above 0. 0.01 suits sgd from scratch, which 0.05 leads astray; 0.001 adamw."""
    weight_decay: float = 1e-3
    """0 or more."""
    label_smoothing: float = 0.1
    """0 to below 1."""
    decoder: dali_pipelines.Choice = "auto"
    """`auto`: DALI where it can be loaded, else Pillow."""

    def fitted(self, device: torch.device) -> tuple[str, int]:
        """The network and the side of its images, chosen for the device where they are left open."""
        gpu = device.type == "cuda"
        name = ("resnet50" if gpu else "resnet18") if self.model == "auto" else self.model
        return name, self.image_size or (224 if gpu else 128)


def main(env: JobEnvironment, stop: Stop) -> None:
    """Run the job from its hyperparameters to its artifacts; what can go wrong leaves as a TrainJobError."""
    config = hyperparameters.parse(Config, env.hyperparameters)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    memory.keep_freed()
    with joined(env, device, stop) as ranks:
        _run(env, stop, config, device, ranks)


def _run(env: JobEnvironment, stop: Stop, config: Config, device: torch.device, ranks: Ranks) -> None:
    seed(config.seed, device)
    name, side = config.fitted(device)

    # --- data -------------------------------------------------------------------------------------
    train, validation, last = _channels(env, stop, config, side, device)

    # --- model ------------------------------------------------------------------------------------
    model = models.photograph_model(name, config.classes, side)
    pretrained = "pretrained" in env.channels
    if pretrained:
        saving.load_pretrained(channel.find(env, "pretrained", stop).folder, model, models.head(model))
        log.info(cub200.OVERLAP)
    model = model.to(device, memory_format=config.memory_format)
    optimizer = config.optimize(model, models.head(model) if pretrained else None, config.head_factor)
    log.info("%s at %d px on %s, torch %s: %s", name, side, device, torch.__version__, hyperparameters.resolved(config))

    # --- resume -----------------------------------------------------------------------------------
    normalise = inputs.Normalise(device, config.memory_format, (cub200.MEAN, cub200.STD))
    trainer = Trainer(
        config, model, optimizer, device, stop,
        open_epoch=photographs.epoch, normalise=normalise, side=side, ranks=ranks,
    )  # fmt: skip
    progress = saving.resume(env.paths.checkpoints, model, optimizer, trainer.scaler, ranks)
    if progress:
        log.info("resumed after epoch %d, batch %d, step %d", progress.epoch, progress.batch, progress.step)
    progress = progress or saving.Progress(epoch_records=cub200.TRAIN_PHOTOGRAPHS)
    autosave = config.autosave(env.paths.checkpoints, stop, saving.SUFFIX, progress.step)
    checkpoints = saving.Checkpoints(autosave, model, optimizer, trainer.scaler, ranks)

    # --- loop -------------------------------------------------------------------------------------
    try:
        while progress.epoch < config.epochs:
            row = trainer.train_epoch(train, progress, checkpoints)
            looked = photographs.evaluate(trainer, validation, config.classes, stop, ranks)
            row |= looked.metrics("validation")
            measured = {key: value for key, value in row.items() if ":" in key}
            report = {key: row[key] for key in row if key not in measured}
            progress.finish_epoch(row)
            if ranks.is_first:
                metrics.emit(measured, **report, dropped=train.dropped)
            checkpoints.save(progress, wait=progress.epoch == config.epochs)
    except StopRequested:
        checkpoints.save(progress, wait=True)
        log.info("stopped in epoch %d after batch %d, step %d", progress.epoch + 1, progress.batch, progress.step)
        return

    # --- save -------------------------------------------------------------------------------------
    split = "test" if "test" in env.channels else "validation"
    final = photographs.evaluate(trainer, last, config.classes, stop, ranks, evaluation.SHOWN)
    ranks.check_equal(weights(model))
    if not ranks.is_first:
        return
    if split == "test":
        metrics.emit(final.metrics(split))
    labels, title = final.names(), f"{name} at {side} px"
    saving.save_model(env.paths, model, labels, hyperparameters.resolved(config))
    record.save_history(env.paths, title, progress, labels)
    evaluation.save(env.paths.output_data, title, final, labels, split)


def _channels(
    env: JobEnvironment, stop: Stop, config: Config, side: int, device: torch.device
) -> tuple[Shown, Shown, Shown]:
    """This process's share of what is trained on, validated with, and shown to the finished model."""
    showing = config.showing(side, env.local_ranks)
    make = functools.partial(photographs.decoder, choice=config.decoder, device=device)
    names = ("train", "validation", *(["test"] if "test" in env.channels else []))
    found = {name: channel.find(env, name, stop) for name in names}
    shares = {name: hosts.share(env, each.config) for name, each in found.items()}
    train = showing.training(found["train"], make, photographs.OnDevice(device), shares["train"])
    looked = {name: showing.evaluation(found[name], make, shares[name]) for name in found if name != "train"}
    return train, looked["validation"], looked.get("test", looked["validation"])


if __name__ == "__main__":
    lifecycle.run(main)
