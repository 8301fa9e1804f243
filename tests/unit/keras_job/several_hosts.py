"""One of some hosts, as a process on a loopback address of its own; trains what its tests compare.

python -m tests.unit.keras_job.several_hosts FOLDER RANK COUNT
"""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import inputs, ranks, recipe, saving, training
from trainjob import channel, hosts, lifecycle
from trainjob.contract import FILE, PIPE
from trainjob.dataset import Dataset
from trainjob.stop import Stop, StopRequested
from trainjob.training import checkpoint
from trainjob.training.autosave import Autosave
from trainjob.training.ranks import Ranks

from tests.several_hosts import environment, told_to_stop, with_one_late
from tests.small_job import Job, records
from tests.stops import StopAfter

STEPS, BATCH = 50, 32
LATE = 3
"""The sum to which the last host comes late: after some steps, and before the epoch's end."""


@dataclass
class Host:
    """This process among its peers, whom TensorFlow lets it join once."""

    folder: Path
    rank: int
    count: int
    ranks: Ranks
    strategy: tf.distribute.Strategy

    def trainer(
        self, settings: recipe.Recipe, stop: Stop, *, drawing: bool, normalised: bool = False
    ) -> tuple[training.Trainer, keras.Model, keras.optimizers.Optimizer]:
        """A small network on it, with or without what draws or looks at a batch as a whole."""
        keras.utils.set_random_seed(1)
        with self.strategy.scope():
            model = network(drawing=drawing, normalised=normalised)
            optimizer = settings.optimize(model)
            return training.Trainer(settings, model, optimizer, self.strategy, stop, ranks=self.ranks), model, optimizer

    def dataset(
        self, name: str, objects: list[bytes], batch_size: int, stop: Stop, *, sharded: bool = False
    ) -> Dataset:
        job = Job(self.folder / name, FILE)
        job.content = {"train": objects}
        env = environment(job, name, self.rank, self.count, sharded=sharded)
        source = channel.find(env, "train", stop)
        return inputs.cifar10_dataset(source, batch_size, share=hosts.share(env, source.config))


def network(*, drawing: bool, normalised: bool = False) -> keras.Model:
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    hidden = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(1 / 255)(pixels))
    if normalised:
        hidden = keras.layers.BatchNormalization()(hidden)
    if drawing:
        hidden = keras.layers.Dropout(0.2)(keras.layers.BatchNormalization()(hidden))
    hidden = keras.layers.Flatten()(keras.layers.Activation("relu")(hidden))
    return keras.Model(
        pixels, keras.layers.Softmax(name="probabilities")(keras.layers.Dense(10, name="logits")(hidden))
    )


def train_evenly(host: Host, precision: str) -> dict:
    """Steps on the very records that one host takes; each step's share of the loss, the first one's gradients."""
    keras.config.set_floatx(precision)
    settings = recipe.Recipe(
        epochs=1, batch_size=BATCH // host.count, flip=False, optimizer="sgd", learning_rate=0.02, momentum=0.5
    )
    trainer, _, optimizer = host.trainer(settings, Stop(), drawing=False)
    losses, gradients = [], []
    owner, name = (trainer, "_train_some") if host.count == 1 else (trainer._steps, "together")
    step = getattr(owner, name)

    def recorded(*arguments):
        before, done = float(trainer._loss_sum.numpy()), step(*arguments)
        taken = float(trainer._loss_sum.numpy()) - before if host.count == 1 else float(done[0])
        losses.append(taken / BATCH)
        if not gradients:  # its momentum is the first step's gradient, times the learning rate
            gradients.extend(np.concatenate([np.ravel(each) for each in optimizer.momentums]).tolist())
        return done

    setattr(owner, name, recorded)
    dataset = host.dataset(precision, [records(STEPS * BATCH, 1)], settings.batch_size, Stop())
    trainer.train_epoch(dataset, saving.Progress(epoch_records=STEPS * BATCH))
    keras.config.set_floatx("float32")
    return {"losses": losses[:STEPS], "gradients": gradients}


def train_briefly(host: Host, name: str, *, dry: bool = False, **options) -> dict:
    """A few steps, with options of the recipe; of each its share of the loss, and all that was learnt.

    With `dry` the last of several hosts gets no object, and the first as many records a step as one host has.
    """
    keras.config.set_floatx("float64")
    sharded = dry and host.count > 1
    batch_size, total = BATCH // (1 if dry else host.count), 5 * BATCH + 7
    settings = recipe.Recipe(
        epochs=1, batch_size=batch_size, flip=False, optimizer="sgd", learning_rate=0.02, momentum=0.5, **options
    )
    trainer, model, _ = host.trainer(settings, Stop(), drawing=False, normalised=settings.sync_batch_norm)
    objects = [] if sharded and host.rank == host.count - 1 else [records(total, 1)]
    progress = saving.Progress(epoch_records=6 * BATCH)
    trainer.train_epoch(host.dataset(name, objects, batch_size, Stop(), sharded=sharded), progress)
    keras.config.set_floatx("float32")
    share = 1.0 if host.ranks.is_first else 0.0  # of what the hosts have added up
    learnt = [np.ravel(each).tolist() for each in ranks.weights(model)]
    return {"losses": [share * progress.loss_sum], "steps": progress.step, "weights": learnt}


def train_with_options(host: Host) -> dict:
    """With the options that several hosts have, and on one host without them."""
    pieces = 3 if host.count > 1 else 1  # of batches whose last is not divided evenly
    return {
        "pieces": train_briefly(host, "pieces", gradient_accumulation=pieces),
        "few pieces": train_briefly(host, "few", dry=True, gradient_accumulation=5 * pieces),
        "synced": train_briefly(host, "synced", sync_batch_norm=True),
        "synced with none": train_briefly(host, "synced-dry", dry=True, sync_batch_norm=True),
    }


def train_unevenly(host: Host) -> dict:
    """The last host gets no object at all, the first two."""
    stop, progress = Stop(), saving.Progress(epoch_records=31)
    trainer, model, _ = host.trainer(recipe.Recipe(epochs=1, batch_size=8), stop, drawing=True)
    objects = [records(20, 1), records(11, 2)] if host.rank < host.count - 1 else []
    row = trainer.train_epoch(host.dataset("uneven", objects, 8, stop, sharded=True), progress)
    row |= trainer.evaluate(host.dataset("uneven-too", objects, 8, stop, sharded=True), progress)
    return {
        "steps": progress.step,
        "seen": progress.seen,
        "checksum": host.ranks.check_equal(ranks.weights(model)),
        "means": [np.ravel(each).tolist() for each in model.variables if "moving" in each.name],
        "loss": row["validation:loss"],
    }


def train_interrupted(host: Host) -> dict:
    """Stopped by the last host's signal, gone on with by all from the first one's checkpoint; and without a stop."""
    found = {}
    for name, looks in (("whole", 10**6), ("stopped", 4), ("resumed", 10**6), ("between", 10**6)):
        stop = StopAfter(looks if host.rank == host.count - 1 else 10**6)
        trainer, model, optimizer = host.trainer(recipe.Recipe(epochs=1, batch_size=16), stop, drawing=True)
        checkpoints = host.folder / {"whole": "whole", "between": "part"}.get(name, "checkpoints")
        if name == "between":
            checkpoints.mkdir()
            for file in (host.folder / "whole").glob("*3.*"):
                shutil.copy(file, checkpoints)
        progress = saving.resume(checkpoints, model, optimizer, host.ranks) or saving.Progress(epoch_records=240)
        ranks.spread_seeds(model, host.ranks)
        found[name] = {"from": progress.step}
        autosave = Autosave(host.folder / "whole", stop, steps=3, keep=9, suffix=saving.SUFFIX)
        taken = saving.Checkpoints(autosave, model, optimizer, host.ranks) if name == "whole" else None
        try:
            trainer.train_epoch(host.dataset(name, [records(240, 1)], 16, stop), progress, taken)
            autosave.finish()
        except StopRequested:
            if host.ranks.is_first:
                saving.save_checkpoint(checkpoints, model, optimizer, progress)
        found[name] |= {"step": progress.step, "checksum": host.ranks.check_equal(ranks.weights(model))}
        found[name] |= {"loss_sum": progress.loss_sum}
    return found


def train_in_a_sum(host: Host) -> dict:
    """Told to stop while the first host waits in a sum for the last one, whose stream stands still."""
    job, progress = Job(host.folder / "sum", PIPE), saving.Progress(epoch_records=160)
    waits, add, last = [], host.ranks._add, host.rank == host.count - 1

    def timed(values):
        entered()
        begun = time.monotonic()
        sums = add(values)
        waits.append(time.monotonic() - begun)
        return sums

    with (
        told_to_stop(host.folder.parent / "in a sum", is_first=host.ranks.is_first) as (stop, entered),
        job.stalled(train=records(3, 1), validation=b"") if last else job.fed(),
        mock.patch.object(host.ranks, "_add", timed),
    ):
        trainer, _, _ = host.trainer(recipe.Recipe(epochs=1, batch_size=8), stop, drawing=False)
        env = environment(job, "sum", host.rank, host.count)
        source = channel.find(env, "train", stop)
        dataset = inputs.cifar10_dataset(source, 8, share=hosts.share(env, source.config))
        with pytest.raises(StopRequested):
            trainer.train_epoch(dataset, progress)
    return {"step": progress.step, "waited": max(waits)}


def train_terminated(host: Host) -> dict:
    """The first host gets a SIGTERM while it waits in a sum for the last one."""
    stop, is_first, is_last = lifecycle.listen(), host.ranks.is_first, host.rank == host.count - 1
    add = with_one_late(host.ranks._add, host.folder.parent / "first.pid", LATE, is_first=is_first, is_last=is_last)
    trainer, model, optimizer = host.trainer(recipe.Recipe(epochs=1, batch_size=16), stop, drawing=True)
    progress, folder = saving.Progress(epoch_records=240), host.folder / "terminated"
    checkpoints = saving.Checkpoints(Autosave(folder, stop, suffix=saving.SUFFIX), model, optimizer, host.ranks)
    with mock.patch.object(host.ranks, "_add", add):
        try:
            trainer.train_epoch(host.dataset("terminated", [records(240, 1)], 16, stop), progress, checkpoints)
        except StopRequested:
            checkpoints.save(progress, wait=True)
    newest = checkpoint.newest(folder)
    return {"step": progress.step, "saved": newest and newest.step}


def work(folder: Path, rank: int, count: int) -> dict:
    """All that this host does in its own folder; what it found."""
    with ranks.joined(environment(Job(folder / "job", FILE), "job", rank, count), Stop()) as (among, strategy):
        host = Host(folder, rank, count, among, strategy)
        found = {kind: train_evenly(host, kind) for kind in ("float32", "float64")}
        found |= train_with_options(host)
        if count > 1:
            found |= {"uneven": train_unevenly(host), "interrupted": train_interrupted(host)}
            found |= {"in a sum": train_in_a_sum(host)}
            found |= {"terminated": train_terminated(host)}
    return found


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    of_all, number, many = Path(sys.argv[1]), *map(int, sys.argv[2:])
    (of_all / f"{number}.json").write_text(json.dumps(work(of_all / str(number), number, many)))
