"""One of some hosts, as a process on a loopback address of its own; trains what its tests compare.

python -m tests.unit.pytorch_job.several_hosts FOLDER RANK COUNT
"""

import csv
import json
import shutil
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from pytorch_job import inputs, models, ranks, recipe, saving, train_cifar10, training
from torch import Tensor, nn
from trainjob import channel, hosts, lifecycle
from trainjob.contract import FILE, PIPE
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop
from trainjob.training import checkpoint

from tests.several_hosts import environment, told_to_stop, with_one_late
from tests.small_job import Job, records
from tests.stops import StopAfter

STEPS, BATCH = 50, 32
LATE = 5
"""The sum to which the last host comes late: after some steps, and before the first epoch's end."""


class Recording(training.Trainer):
    """Keeps each step's share of the loss, and the first step's gradients."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.losses: list[float] = []
        self.gradients: list[float] = []

    def _step(self, batch, weight, progress):
        loss, hits = super()._step(batch, weight, progress)
        self.losses.append(float(loss) * weight / self._ranks.count)
        if not self.gradients:
            self.gradients = torch.cat([each.grad.flatten() for each in self._model.parameters()]).tolist()
        return loss, hits


class Double(Recording):
    """The same in float64."""

    def _logits(self, images: Tensor, model: nn.Module) -> Tensor:
        return model(images.double())


def train_evenly(folder: Path, rank: int, count: int, kind: type[Recording]) -> dict:
    """Steps on the very records that one host takes, without anything that draws."""
    job = Job(folder / kind.__name__, FILE)
    job.content = {"train": [records(STEPS * BATCH, 1)]}
    env = environment(job, kind.__name__, rank, count)
    settings = recipe.Recipe(
        epochs=1, batch_size=BATCH // count, flip=False, channels_last=False, learning_rate=0.02, momentum=0.5
    )
    with ranks.joined(env, torch.device("cpu"), Stop()) as among:
        torch.manual_seed(0)
        source = channel.find(env, "train", Stop())
        dataset = inputs.cifar10_dataset(source, settings.batch_size, share=hosts.share(env, source.config))
        model = models.build("net").to(torch.float64 if kind is Double else torch.float32)
        trainer = kind(settings, model, settings.optimize(model), torch.device("cpu"), Stop(), ranks=among)
        trainer.train_epoch(dataset, saving.Progress(epoch_records=STEPS * BATCH))
    return {"losses": trainer.losses, "gradients": trainer.gradients}


def small_network(*, normalised: bool) -> nn.Module:
    """With batch normalisation or without anything that looks at a batch as a whole."""
    norm = nn.BatchNorm2d(4) if normalised else nn.Identity()
    layers = (nn.Conv2d(3, 4, 3, 4), norm, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    return nn.Sequential(*layers).double()


def train_briefly(folder: Path, rank: int, count: int, name: str, *, dry: bool = False, **options) -> dict:
    """A few steps, with options of the recipe; of each its share of the loss, and all that was learnt.

    With `dry` the last of several hosts gets no object, and the first as many records a step as one host has.
    """
    job, sharded = Job(folder / name, FILE), dry and count > 1
    job.content = {"train": [] if sharded and rank == count - 1 else [records(5 * BATCH + 7, 1)]}
    env = environment(job, name, rank, count, sharded=sharded)
    settings = recipe.Recipe(epochs=1, batch_size=BATCH // (1 if dry else count), flip=False, **options)
    with ranks.joined(env, torch.device("cpu"), Stop()) as among:
        torch.manual_seed(0)
        source = channel.find(env, "train", Stop())
        dataset = inputs.cifar10_dataset(source, settings.batch_size, share=hosts.share(env, source.config))
        model = small_network(normalised=settings.sync_batch_norm)
        trainer = Double(settings, model, settings.optimize(model), torch.device("cpu"), Stop(), ranks=among)
        trainer.train_epoch(dataset, saving.Progress(epoch_records=6 * BATCH))
    return {"losses": trainer.losses, "weights": [each.ravel().tolist() for each in ranks.weights(model)]}


def train_with_options(folder: Path, rank: int, count: int) -> dict:
    """With the options that several hosts have, and on one host without them."""
    pieces = 3 if count > 1 else 1  # of batches whose last is not divided evenly
    return {
        "pieces": train_briefly(folder, rank, count, "pieces", gradient_accumulation=pieces),
        "few pieces": train_briefly(folder, rank, count, "few", dry=True, gradient_accumulation=5 * pieces),
        "synced": train_briefly(folder, rank, count, "synced", sync_batch_norm=True),
        "synced with none": train_briefly(folder, rank, count, "synced-dry", dry=True, sync_batch_norm=True),
    }


def run_program(job: Job, env: JobEnvironment, stop: Stop | None = None) -> dict:
    """The whole program; what it left."""
    train_cifar10.main(env, stop or Stop())
    history = job.paths.output_data / "history.csv"
    rows = csv.DictReader(history.read_text().splitlines()) if history.exists() else []
    newest, weights = checkpoint.newest(job.paths.checkpoints), job.paths.model / "weights.pt"
    state = torch.load(weights, weights_only=True) if weights.exists() else {}
    return {
        "step": newest and newest.step,
        "weights": [float(each.double().sum()) for each in state.values()],
        "losses": [row["train:loss"] for row in rows],
        "finite": all(bool(torch.isfinite(each).all()) for each in state.values()),
    }


def train_unevenly(folder: Path, rank: int, count: int) -> dict:
    """A program whose last host gets no object at all, and the first two."""
    job = Job(folder / f"uneven-{rank}", FILE, model="resnet", epochs="1", batch_size="8")
    objects = [records(20, 1), records(11, 2)] if rank < count - 1 else []
    job.content = {"train": objects, "validation": objects[:1]}
    return run_program(job, environment(job, "uneven", rank, count, sharded=True))


def train_interrupted(folder: Path, rank: int, count: int) -> dict:
    """A program stopped by one host's signal, gone on with on fresh hosts; and the same without a stop."""
    found, last = {}, count - 1
    for name, looks in (("whole", None), ("stopped", 4)):
        job = Job(folder / f"{name}-{rank}", FILE, checkpoint_steps="2", keep_checkpoints="9", log_steps="3")
        stop = StopAfter(looks if looks and rank == last else 10**6)
        found[name] = run_program(job, environment(job, name, rank, count), stop)
    for name, source, steps in (("resumed", "stopped", "*"), ("between", "whole", "*2")):
        job = Job(folder / f"{name}-{rank}", FILE)
        if rank == 0:  # whatever the platform has brought to the others
            job.paths.checkpoints.mkdir(parents=True)
            for file in (folder / f"{source}-0" / "checkpoints").glob(f"{steps}.*"):
                shutil.copy(file, job.paths.checkpoints)
        found[name] = run_program(job, environment(job, name, rank, count))
    return found


def train_terminated(folder: Path, rank: int, count: int) -> dict:
    """A program whose first host gets a SIGTERM while it waits in a sum for the last one."""
    add = with_one_late(ranks._add, folder.parent / "first.pid", LATE, is_first=rank == 0, is_last=rank == count - 1)
    job = Job(folder / f"terminated-{rank}", FILE)
    with mock.patch.object(ranks, "_add", add):
        return run_program(job, environment(job, "terminated", rank, count), lifecycle.listen())


def train_in_a_sum(folder: Path, rank: int, count: int) -> dict:
    """A program told to stop while its first host waits in a sum for the last one, whose stream stands still."""
    job, waits = Job(folder / f"sum-{rank}", PIPE, epochs="1", batch_size="8", shuffle_window="0"), []
    epoch, add, last = training.Trainer.train_epoch, ranks._add, rank == count - 1

    def timed(values: np.ndarray) -> np.ndarray:
        if train_epoch.called:
            entered()
        begun = time.monotonic()
        sums = add(values)
        waits.append(time.monotonic() - begun)
        return sums

    with (
        told_to_stop(folder.parent / "in a sum", is_first=rank == 0) as (stop, entered),
        job.stalled(train=records(3, 1), validation=b"") if last else job.fed(),
        mock.patch.object(training.Trainer, "train_epoch", autospec=True, side_effect=epoch) as train_epoch,
        mock.patch.object(ranks, "_add", timed),
    ):
        found = run_program(job, environment(job, "sum", rank, count), stop)
    return found | {"waited": max(waits)}


def work(folder: Path, rank: int, count: int) -> dict:
    """All that this host does in its own folder; what it found."""
    found = {kind.__name__: train_evenly(folder, rank, count, kind) for kind in (Recording, Double)}
    found |= train_with_options(folder, rank, count)
    if count > 1:
        found |= {"uneven": train_unevenly(folder, rank, count), "interrupted": train_interrupted(folder, rank, count)}
        found |= {"in a sum": train_in_a_sum(folder, rank, count)}
        found |= {"terminated": train_terminated(folder, rank, count)}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    of_all, number, many = Path(sys.argv[1]), *map(int, sys.argv[2:])
    (of_all / f"{number}.json").write_text(json.dumps(work(of_all / str(number), number, many)))
