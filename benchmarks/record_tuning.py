"""Records the table that `benchmarks/tuning_search.py` replays: Net trained with many configurations, epoch by epoch.

    PYTHONPATH=containers/common:containers/pytorch:. PYTHON -m benchmarks.record_tuning --data DIR --minutes 20

PYTHON has torch, DIR holds CIFAR-10's published files. Every configuration of a grid is trained once, by the program's
own recipe and step, on the first TRAIN images of the training set, for EPOCHS epochs of its schedule, on one core. The
accuracies are those of the first TEST images of the test set. A table that is there is gone on with.
"""

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_job import models, saving
from pytorch_job.training import Recipe, Trainer
from trainjob import cifar10
from trainjob.stop import Stop

from benchmarks.tuning_table import EPOCHS, TABLE, grid

TRAIN, TEST = 2_500, 2_000
"""Images."""
EVALUATION_BATCH = 1_000
CPU = torch.device("cpu")


class InMemory:
    """What a channel's `Dataset` is to the loop: records in memory, in a fresh order every epoch."""

    def __init__(self, records: NDArray[np.uint8], batch_size: int) -> None:
        self._records, self._batch_size = records, batch_size

    def epoch(self, number: int) -> Any:
        """Batches of an epoch."""
        order = np.random.default_rng(number).permutation(len(self._records))
        for start in range(0, len(order), self._batch_size):
            yield self._records[order[start : start + self._batch_size]]


def records(path: Path, count: int) -> NDArray[np.uint8]:
    """The first `count` records of a file."""
    return np.fromfile(path, np.uint8, count * cifar10.RECORD_BYTES).reshape(count, cifar10.RECORD_BYTES)


def curve(values: dict[str, str], train: NDArray[np.uint8], test: NDArray[np.uint8]) -> list[float]:
    """Validation accuracy after each epoch."""
    recipe = Recipe(
        epochs=EPOCHS,
        batch_size=int(values["batch_size"]),
        optimizer=values["optimizer"],  # type: ignore[arg-type]
        learning_rate=float(values["learning_rate"]),
    )
    torch.manual_seed(recipe.seed)
    model = models.build("net").to(memory_format=recipe.memory_format)
    trainer = Trainer(recipe, model, recipe.optimize(model), CPU, Stop())
    progress, found = saving.Progress(epoch_records=len(train)), []
    for _ in range(EPOCHS):
        row = trainer.train_epoch(InMemory(train, recipe.batch_size), progress)
        row |= trainer.evaluate(InMemory(test, EVALUATION_BATCH), progress, len(cifar10.CLASSES))
        progress.finish_epoch(row)
        found.append(row["validation:accuracy"])
    return found


def main() -> None:
    """Train what the table lacks, until the time is over."""
    parser = argparse.ArgumentParser(description="Record the table of configurations.")
    parser.add_argument("--data", type=Path, required=True, help="folder of cifar-10-batches-bin")
    parser.add_argument("--minutes", type=float, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.data / cifar10.FOLDER
    train, test = records(folder / cifar10.TRAIN_FILES[0], TRAIN), records(folder / cifar10.TEST_FILES[0], TEST)
    there = sum(1 for _ in TABLE.open()) - 1 if TABLE.exists() else 0
    configurations = grid()
    end = time.monotonic() + 60 * arguments.minutes
    with TABLE.open("a", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if not there:
            table.writerow([*configurations[0], *(f"epoch_{number + 1}" for number in range(EPOCHS))])
        for number, values in enumerate(configurations[there:], there + 1):
            if time.monotonic() >= end:
                break
            begun = time.monotonic()
            found = curve(values, train, test)
            table.writerow([*values.values(), *(f"{accuracy:.4f}" for accuracy in found)])
            file.flush()
            print(
                f"{number} of {len(configurations)}: {found[-1]:.4f} in {time.monotonic() - begun:.1f} s, {values}",
                flush=True,
            )


if __name__ == "__main__":
    main()
