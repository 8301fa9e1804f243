"""Train a small network on CIFAR-10.

    python -m pytorch_job.train_cifar10        # under /opt/ml, or a folder named by SAGEMAKER_BASE_DIR

Channels `train` and `validation` hold records as scripts/prepare_data.py writes them, in any form and any input mode.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from trainjob import channel, cifar10, hosts, hyperparameters, lifecycle, memory, metrics
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop, StopRequested
from trainjob.training import record
from trainjob.training.ranks import Ranks
from trainjob.training.recipe import RecordsRecipe

from pytorch_job import inputs, models, saving
from pytorch_job.ranks import joined, weights
from pytorch_job.recipe import Recipe, seed
from pytorch_job.training import Trainer

log = logging.getLogger(__name__)

EVALUATION_BATCH = {"cpu": 250, "cuda": 1000}
"""Records that are looked at together: more take longer on a CPU, whose caches they leave, fewer on a GPU."""

# --- config ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config(Recipe, RecordsRecipe):
    """The hyperparameters of the job."""

    dataset: Literal["cifar10"] = "cifar10"
    """Chose this program."""
    model: models.Name = "net"
    """`net` for a CPU, `resnet` for a GPU."""


def main(env: JobEnvironment, stop: Stop) -> None:
    """Run the job from its hyperparameters to its artifacts; what can go wrong leaves as a TrainJobError."""
    config = hyperparameters.parse(Config, env.hyperparameters)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    memory.keep_freed()
    with joined(env, device, stop) as ranks:
        _run(env, stop, config, device, ranks)


def _run(env: JobEnvironment, stop: Stop, config: Config, device: torch.device, ranks: Ranks) -> None:
    seed(config.seed, device)

    # --- data -------------------------------------------------------------------------------------
    cache_bytes = config.cache_mb * 10**6 // env.local_ranks if config.cache else 0
    source, held_out = (channel.find(env, name, stop) for name in ("train", "validation"))
    train = inputs.cifar10_dataset(
        source,
        config.batch_size,
        share=hosts.share(env, source.config),
        window=config.shuffle_window,
        seed=config.seed,
        framing=config.framing,
        cache_bytes=cache_bytes,
    )
    validation = inputs.cifar10_dataset(
        held_out,
        EVALUATION_BATCH[device.type],
        share=hosts.share(env, held_out.config),
        framing=config.framing,
        cache_bytes=cache_bytes,
    )

    # --- model ------------------------------------------------------------------------------------
    model = models.build(config.model).to(device, memory_format=config.memory_format)
    optimizer = config.optimize(model)
    log.info("%s on %s, torch %s: %s", config.model, device, torch.__version__, hyperparameters.resolved(config))

    # --- resume -----------------------------------------------------------------------------------
    trainer = Trainer(config, model, optimizer, device, stop, ranks=ranks)
    progress = saving.resume(env.paths.checkpoints, model, optimizer, trainer.scaler, ranks)
    if progress is None:
        progress = saving.Progress(epoch_records=cifar10.TRAIN_RECORDS)
    else:
        log.info("resumed after epoch %d, batch %d, step %d", progress.epoch, progress.batch, progress.step)
    autosave = config.autosave(env.paths.checkpoints, stop, saving.SUFFIX, progress.step)
    checkpoints = saving.Checkpoints(autosave, model, optimizer, trainer.scaler, ranks)

    # --- loop -------------------------------------------------------------------------------------
    try:
        while progress.epoch < config.epochs:
            row = trainer.train_epoch(train, progress, checkpoints) | trainer.evaluate(
                validation, progress, len(cifar10.CLASSES)
            )
            report = {key: value for key, value in row.items() if key not in metrics.NAMES}
            progress.finish_epoch(row)
            if ranks.is_first:
                metrics.emit({name: row[name] for name in metrics.NAMES}, **report)
            checkpoints.save(progress, wait=progress.epoch == config.epochs)
    except StopRequested:
        checkpoints.save(progress, wait=True)
        log.info("stopped in epoch %d after batch %d, step %d", progress.epoch + 1, progress.batch, progress.step)
        return

    # --- save -------------------------------------------------------------------------------------
    ranks.check_equal(weights(model))
    if ranks.is_first:
        saving.save_model(env.paths, model, cifar10.CLASSES, hyperparameters.resolved(config))
        record.save_history(env.paths, f"CIFAR-10, {config.model}, {config.optimizer}", progress, cifar10.CLASSES)


if __name__ == "__main__":
    lifecycle.run(main)
