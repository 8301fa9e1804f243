"""Train a network on photographs: CUB-200-2011, or any set of labelled JPEGs.

    python -m keras_job.train_cub200        # under /opt/ml, or a folder named by SAGEMAKER_BASE_DIR

Channels `train` and `validation`, in any form of docs/photographs.md and any input mode. With a channel `test` the
finished model is evaluated on that, once; with a channel `pretrained` training begins with the weights in it.
"""

import functools
import logging
from dataclasses import dataclass
from typing import Literal

import keras
import tensorflow as tf
from trainjob import channel, cub200, hosts, hyperparameters, lifecycle, metrics
from trainjob.environment import JobEnvironment
from trainjob.photographs import dali_pipelines
from trainjob.photographs.showing import ShowingRecipe, Shown
from trainjob.stop import Stop, StopRequested
from trainjob.training import evaluation, record
from trainjob.training.ranks import Ranks

from keras_job import models, photographs, saving
from keras_job.ranks import joined, spread_seeds, weights
from keras_job.recipe import Recipe, has_gpu
from keras_job.training import Trainer

log = logging.getLogger(__name__)

# --- config ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config(Recipe, ShowingRecipe):
    """The hyperparameters of the job."""

    dataset: Literal["cub200"] = "cub200"
    """Chose this program."""
    model: str = "auto"
    """`resnet18`, or any network of keras.applications. `auto`: ResNet50 on a GPU, resnet18 on a CPU."""
    optimizer: Literal["sgd", "adam", "rmsprop"] = "sgd"
    """`sgd` has Nesterov's momentum."""
    epochs: int = 30
    """Passes over the train channel, 1 or more."""
    batch_size: int = 32
    """Images a step, 1 or more."""
    learning_rate: float = 0.01
    """The peak of the schedule, above 0. 0.01 suits sgd from scratch, which 0.05 leads astray; 0.001 adam."""
    weight_decay: float = 1e-3
    """Apart from the gradient, times the learning rate, 0 or more."""
    label_smoothing: float = 0.1
    """0 to below 1."""
    decoder: dali_pipelines.Choice = "auto"
    """`auto`: DALI where it can be loaded, else tf.io."""

    def fitted(self) -> tuple[str, int]:
        """The network and the side of its images, chosen for the device where they are left open."""
        name = ("ResNet50" if has_gpu() else models.RESNET18) if self.model == "auto" else self.model
        return name, self.image_size or (224 if has_gpu() else 128)


def main(env: JobEnvironment, stop: Stop) -> None:
    """Run the job from its hyperparameters to its artifacts; what can go wrong leaves as a TrainJobError."""
    config = hyperparameters.parse(Config, env.hyperparameters)
    photographs.share_gpus()
    with joined(env, stop) as (ranks, strategy):
        _run(env, stop, config, ranks, strategy)


def _run(env: JobEnvironment, stop: Stop, config: Config, ranks: Ranks, strategy: tf.distribute.Strategy) -> None:
    keras.utils.set_random_seed(config.seed)
    name, side = config.fitted()

    # --- data -------------------------------------------------------------------------------------
    train, validation, last = _channels(env, stop, config, side)

    # --- model ------------------------------------------------------------------------------------
    pretrained = "pretrained" in env.channels
    with strategy.scope(), models.unnamed(strategy):
        model = models.photograph_model(name, config.classes, side, config.policy())
        if pretrained:
            saving.load_pretrained(channel.find(env, "pretrained", stop).folder, model)
            log.info(cub200.OVERLAP)
        optimizer = config.optimize(model)
        head = models.head(model) if pretrained else ()
        trainer = Trainer(
            config, model, optimizer, strategy, stop,
            open_epoch=photographs.epoch, head=head, head_factor=config.head_factor, ranks=ranks,
        )  # fmt: skip
    log.info("%s at %d px, tensorflow %s: %s", name, side, tf.__version__, hyperparameters.resolved(config))

    # --- resume -----------------------------------------------------------------------------------
    progress = saving.resume(env.paths.checkpoints, model, optimizer, ranks)
    if progress:
        log.info("resumed after epoch %d, batch %d, step %d", progress.epoch, progress.batch, progress.step)
    progress = progress or saving.Progress(epoch_records=cub200.TRAIN_PHOTOGRAPHS)
    spread_seeds(model, ranks)
    autosave = config.autosave(env.paths.checkpoints, stop, saving.SUFFIX, progress.step)
    checkpoints = saving.Checkpoints(autosave, model, optimizer, ranks)

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


def _channels(env: JobEnvironment, stop: Stop, config: Config, side: int) -> tuple[Shown, Shown, Shown]:
    """This process's share of what is trained on, validated with, and shown to the finished model."""
    showing = config.showing(side, env.local_ranks)
    make = functools.partial(photographs.decoder, choice=config.decoder)
    names = ("train", "validation", *(["test"] if "test" in env.channels else []))
    found = {name: channel.find(env, name, stop) for name in names}
    shares = {name: hosts.share(env, each.config) for name, each in found.items()}
    train = showing.training(found["train"], make, photographs.OnDevice(), shares["train"])
    looked = {name: showing.evaluation(found[name], make, shares[name]) for name in found if name != "train"}
    return train, looked["validation"], looked.get("test", looked["validation"])


if __name__ == "__main__":
    lifecycle.run(main)
