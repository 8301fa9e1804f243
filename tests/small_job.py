"""A small job on disk, for the programs of any image: random records, the config files, a thread that feeds FIFOs."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from trainjob import cifar10, environment
from trainjob.contract import FILE, PIPE, Paths
from trainjob.environment import JobEnvironment
from trainjob.training.autosave import Autosave


def records(count: int, seed: int) -> bytes:
    random = np.random.default_rng(seed)
    block = random.integers(0, 256, (count, cifar10.RECORD_BYTES), np.uint8)
    block[:, 0] %= len(cifar10.CLASSES)
    return block.tobytes()


def write_checkpoints_at_once(monkeypatch) -> None:
    """Have each checkpoint written before the next one is asked for; else the disk decides which step that is."""
    due = Autosave.due

    def after_the_one_before(self: Autosave, step: int) -> bool:
        self.finish()
        return due(self, step)

    monkeypatch.setattr(Autosave, "due", after_the_one_before)


class Job:
    """A folder that stands in for /opt/ml, with channels `train` and `validation` in one input mode."""

    def __init__(self, base: Path, mode: str = FILE, **hyperparameters: str) -> None:
        self.paths = Paths(base)
        self.mode = mode
        self.content = {"train": [records(150, 1), records(107, 2)], "validation": [records(64, 3)]}
        self.hyperparameters = {"epochs": "2", "batch_size": "32", "shuffle_window": "100", **hyperparameters}

    def environment(self) -> JobEnvironment:
        paths = self.paths
        for folder in (paths.config, paths.data, paths.model, paths.output_data, paths.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        paths.hyperparameters.write_text(json.dumps(self.hyperparameters))
        paths.input_data_config.write_text(
            json.dumps({name: {"TrainingInputMode": self.mode} for name in self.content})
        )
        if self.mode != PIPE:
            for name, objects in self.content.items():
                paths.channel(name).mkdir(exist_ok=True)
                for index, content in enumerate(objects):
                    (paths.channel(name) / f"part-{index}").write_bytes(content)
        return environment.read({"SAGEMAKER_BASE_DIR": str(paths.base)})

    @contextmanager
    def fed(self) -> Iterator[JobEnvironment]:
        """The job's environment while its FIFOs, if it has any, are fed."""
        env = self.environment()
        if self.mode == PIPE:
            for name, objects in self.content.items():
                os.mkfifo(self.paths.fifo(name, 0))
                threading.Thread(target=self._feed, args=(name, b"".join(objects)), daemon=True).start()
        yield env

    @contextmanager
    def stalled(self, **sent: bytes) -> Iterator[JobEnvironment]:
        """The job's environment while its channels bring so much of their first epoch, and then wait."""
        env, ended = self.environment(), threading.Event()

        def send(fifo: Path, content: bytes) -> None:
            with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
                file.write(content)
                ended.wait()

        for name, content in sent.items():
            fifo = self.paths.fifo(name, 0)
            os.mkfifo(fifo)
            threading.Thread(target=send, args=(fifo, content), daemon=True).start()
        try:
            yield env
        finally:
            ended.set()

    def _feed(self, name: str, content: bytes) -> None:
        for epoch in range(1000):
            fifo = self.paths.fifo(name, epoch)
            # A reader that leaves early ends the epoch, as the platform has it.
            with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
                file.write(content)
            os.mkfifo(self.paths.fifo(name, epoch + 1))
            fifo.unlink()
