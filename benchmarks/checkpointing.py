"""What checkpoints cost a training while they are written beside it, and what it takes to go on from one.

    make bench/checkpointing                           # FRAMEWORK=keras

`share_at_one_in_10_s` is the time that one checkpoint adds to a training, divided by 10 s: an epoch with CHECKPOINTS of
them beside one with none; `waiting_share` is the same where the training waits for each to be written. Larger models
take longer steps and larger checkpoints alike. `resume_s` runs from a program's start to the end of its first step,
where it goes on from within an epoch, less the same of a fresh start; the batches that it leaves out are read again.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trainjob import cifar10
from trainjob.contract import FILE
from trainjob.stop import Stop
from trainjob.training.autosave import Autosave
from trainjob.training.between import STEP_LOSS

from benchmarks.rounds import Target, measure, parser, ratio, report
from tests.small_job import Job, records

CHECKPOINTS, STEPS_BETWEEN = 4, 4
"""In an epoch; after the last one it goes on for as many steps."""
BATCH = {"pytorch": 4, "keras": 8}
MODEL = {"pytorch": "resnet", "keras": "workshop"}
EVERY_SECONDS = 10.0
RECORDS, GONE_ON_FROM = 20_000, 100
"""Of the program that goes on; the batch that it goes on from, of 128 records."""
PROGRAM_SECONDS = 300
TARGETS = {"share_at_one_in_10_s": Target(most=0.02), "resume_s": Target(most=3.0)}

Train = Callable[[Any], float]
"""An epoch of as many batches; its seconds."""


class Waiting:
    """Checkpoints for each of which the training waits."""

    def __init__(self, checkpoints: Any) -> None:
        self._checkpoints = checkpoints

    def due(self, step: int) -> bool:
        """As it is."""
        return bool(self._checkpoints.due(step))

    def save(self, progress: Any) -> None:
        """Written when this returns."""
        self._checkpoints.save(progress, wait=True)


def batches(framework: str) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """An epoch of them."""
    steps, size = (CHECKPOINTS + 1) * STEPS_BETWEEN - 1, BATCH[framework]
    rows = np.frombuffer(records(steps * size, 0), np.uint8).reshape(steps, size, cifar10.RECORD_BYTES)
    return [cifar10.split(each) for each in rows]


def of_pytorch(folder: Path) -> tuple[Train, Callable[[], Any]]:
    """What trains an epoch, and what makes its checkpoints."""
    import torch  # noqa: PLC0415 - one framework is there
    from pytorch_job import models, saving  # noqa: PLC0415 - needs it
    from pytorch_job.recipe import Recipe  # noqa: PLC0415 - needs it
    from pytorch_job.training import Trainer  # noqa: PLC0415 - needs it

    made = [(torch.from_numpy(images.copy()), torch.from_numpy(labels)) for images, labels in batches("pytorch")]

    def epoch(*_: Any) -> Iterator[Any]:
        return iter(made)

    recipe = Recipe(batch_size=BATCH["pytorch"])
    model = models.build("resnet").to(memory_format=recipe.memory_format)
    optimizer = recipe.optimize(model)
    trainer = Trainer(recipe, model, optimizer, torch.device("cpu"), Stop(), open_epoch=epoch)

    def train(checkpoints: Any) -> float:
        progress = saving.Progress(epoch_records=len(made) * BATCH["pytorch"])
        return float(trainer.train_epoch(None, progress, checkpoints)["seconds"])

    autosave = Autosave(folder, Stop(), steps=STEPS_BETWEEN, suffix=saving.SUFFIX)
    return train, lambda: saving.Checkpoints(autosave, model, optimizer, trainer.scaler)


def of_keras(folder: Path) -> tuple[Train, Callable[[], Any]]:
    """The same of Keras."""
    import tensorflow as tf  # noqa: PLC0415 - one framework is there
    from keras_job import models, saving  # noqa: PLC0415 - needs it
    from keras_job.recipe import Recipe  # noqa: PLC0415 - needs it
    from keras_job.training import Trainer  # noqa: PLC0415 - needs it

    made = [(tf.constant(images.transpose(0, 2, 3, 1)), tf.constant(labels)) for images, labels in batches("keras")]

    def epoch(*_: Any) -> Any:
        return iter(tf.data.Dataset.from_tensor_slices(tuple(tf.stack(each) for each in zip(*made, strict=True))))

    recipe = Recipe(batch_size=BATCH["keras"])
    model = models.build("workshop", recipe.policy())
    optimizer = recipe.optimize(model)
    whole: Any = type("Whole", (), {"batch_size": BATCH["keras"], "drop_remainder": True})()
    trainer = Trainer(recipe, model, optimizer, tf.distribute.get_strategy(), Stop(), open_epoch=epoch)

    def train(checkpoints: Any) -> float:
        progress = saving.Progress(epoch_records=len(made) * BATCH["keras"])
        return float(trainer.train_epoch(whole, progress, checkpoints)["seconds"])

    autosave = Autosave(folder, Stop(), steps=STEPS_BETWEEN, suffix=saving.SUFFIX)
    return train, lambda: saving.Checkpoints(autosave, model, optimizer)


def first_step(framework: str, job: Job) -> float:
    """Seconds from the start of a job's program to its first step."""
    begun = time.perf_counter()
    with started(framework, job) as program:
        for line in program.stdout or []:
            if f" {STEP_LOSS}=" in line:
                seconds = time.perf_counter() - begun
                program.kill()
                return seconds
        raise RuntimeError(f"{framework}_job ended with exit code {program.wait()} and took no step")


def saved_within_an_epoch(framework: str, base: Path, content: dict[str, list[bytes]]) -> Path:
    """A folder with a checkpoint of batch GONE_ON_FROM."""
    job = prepared(base, content, checkpoint_steps=str(GONE_ON_FROM))
    with started(framework, job) as program:
        deadline = time.monotonic() + PROGRAM_SECONDS
        while not list(job.paths.checkpoints.glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        program.kill()
    return job.paths.checkpoints


def started(framework: str, job: Job) -> "subprocess.Popen[str]":
    """A job's program; what it says is a few kilobytes, which its pipe holds."""
    return subprocess.Popen(
        [sys.executable, "-m", f"{framework}_job.train_cifar10"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(job.paths.base)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def prepared(base: Path, content: dict[str, list[bytes]], **settings: str) -> Job:
    """A job on disk."""
    job = Job(base, FILE, batch_size="128", shuffle_window="1000", log_steps="1", epochs="1", **settings)
    job.content = content
    job.environment()
    return job


def main() -> None:
    """Run the rounds and print the figures."""
    made = parser("Checkpoints written beside a training.")
    made.add_argument("--framework", default="pytorch", choices=sorted(BATCH))
    arguments = made.parse_args()
    framework = arguments.framework
    content = {"train": [records(RECORDS, 1)], "validation": [records(128, 2)]}
    with tempfile.TemporaryDirectory() as name:
        folder, numbers = Path(name), count()
        train, checkpoints = {"pytorch": of_pytorch, "keras": of_keras}[framework](folder / "cost")
        source = saved_within_an_epoch(framework, folder / "saved", content)

        def begun(*, resumed: bool) -> float:
            job = prepared(folder / f"job-{next(numbers)}", content)
            for file in source.iterdir() if resumed else ():
                (job.paths.checkpoints / file.name).write_bytes(file.read_bytes())
            return first_step(framework, job)

        contestants: dict[str, Callable[[], float]] = {
            "none": lambda: train(None),
            "beside": lambda: train(checkpoints()),
            "waiting": lambda: train(Waiting(checkpoints())),
            "fresh_s": lambda: begun(resumed=False),
            "resumed_s": lambda: begun(resumed=True),
        }
        contestants["beside"]()  # the first epoch of a process is another
        figures = measure(contestants, arguments.rounds)
    plain = statistics.median(figures["none"])
    shares = {
        what: (ratio(figures, kind, "none") - 1) * plain / CHECKPOINTS / EVERY_SECONDS
        for what, kind in (("share_at_one_in_10_s", "beside"), ("waiting_share", "waiting"))
    }
    pairs = zip(figures["resumed_s"], figures["fresh_s"], strict=True)
    resume = statistics.median(resumed - fresh for resumed, fresh in pairs)
    unit = f"seconds; {framework}, an epoch with {CHECKPOINTS} checkpoints of {MODEL[framework]}; to the first step"
    report("checkpointing", unit, figures, shares, TARGETS, check=arguments.check, resume_s=resume)


if __name__ == "__main__":
    main()
