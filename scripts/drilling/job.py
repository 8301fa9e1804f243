"""The job of a drill: small data, a request, and local_mode as a process whose lines are read."""

import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from trainjob.contract import PIPE

from local_mode.jobs.folder import jobs_folder
from local_mode.jobs.sweep import sweep
from local_mode.runners import process as process_runner
from scripts.datasets import drawing
from scripts.datasets.forms import FIXED
from scripts.environments.environment import ROOT, write_whole
from scripts.local_job import LocalJob, build_request

SILENCE_SECONDS = 300.0
"""How long a job may say nothing: the machine may be busy, and nothing here takes half a minute."""
_END_SECONDS = 30.0
_DAY = 86_400


class DrillError(Exception):
    """The job did not do what a job does."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One training to be run, as often as it takes."""

    framework: str
    folder: Path
    """Of everything that is made for it; the caller removes it."""
    running: Sequence[str]
    """Arguments by which local_mode runs the framework."""
    records: Mapping[str, int]
    """By channel, how many records are drawn."""
    batch_size: int
    epochs: int
    settings: Mapping[str, str]
    """More hyperparameters."""

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * -(-self.records["train"] // self.batch_size)

    @property
    def root(self) -> Path:
        """Folder of its jobs."""
        return self.folder / "state"

    def checkpoints(self, label: str) -> Path:
        """Where all jobs of that label keep them."""
        return self.folder / f"checkpoints-{label}"

    def prepare(self) -> None:
        """Draw the data, one file a channel."""
        for seed, (channel, count) in enumerate(self.records.items()):
            path = self.folder / "data" / channel / "records.bin"
            path.parent.mkdir(parents=True)
            path.write_bytes(drawing.draw(count, seed).tobytes())

    def request(self, name: str, label: str) -> Path:
        """The request of one job, as a file."""
        hyperparameters = {
            "epochs": str(self.epochs), "batch_size": str(self.batch_size), "log_steps": "1", **self.settings,
        }  # fmt: skip
        job = LocalJob(
            framework=self.framework,
            label=label,
            input_mode=PIPE,
            content_type=FIXED.content_type,
            channels={channel: self.folder / "data" / channel for channel in self.records},
            hyperparameters=hyperparameters,
            environment={"CUDA_VISIBLE_DEVICES": ""},  # to the bit, that is a processor's
            state=self.folder / "state",
        )
        changes: dict[str, Any] = {
            "EnableManagedSpotTraining": True,
            "CheckpointConfig": {"S3Uri": self.checkpoints(label).as_uri()},
            "StoppingCondition": {"MaxRuntimeInSeconds": _DAY, "MaxWaitTimeInSeconds": _DAY},
        }
        path = self.folder / f"{name}.json"
        write_whole(path, json.dumps(build_request(job, name) | changes))
        return path

    def weights(self, name: str) -> str:
        """Checksum of the weights that a job ended with, and of nothing else that its model holds."""
        with tarfile.open(jobs_folder(self.root) / name / "model.tar.gz") as archive:
            for member, inner in (("weights.pt", ""), ("model.keras", "model.weights.h5")):
                if member in archive.getnames() and (file := archive.extractfile(member)):
                    content = file.read()
                    if inner:  # beside them it has the time in it
                        content = zipfile.ZipFile(BytesIO(content)).read(inner)
                    return hashlib.sha256(content).hexdigest()
        raise DrillError(f"The model of job '{name}' holds no weights; see its log in {self.root}.")


class Running:
    """`local_mode train` at work on one job."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self.name, self._process = name, process
        self._output = process.stdout or []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name=f"log {name}", daemon=True).start()

    def line(self, seconds: float) -> str | None:
        """The next line of its output, without its end; None at the end of it.

        Raises:
            TimeoutError: There was none for so long.
        """
        try:
            return self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError from None

    def stop(self) -> None:
        """Stop the job as Ctrl-C does."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all of it at once; what local_mode has started ends with it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def exit_code(self) -> int:
        """How it ended, once its output has.

        Raises:
            DrillError: It has not ended.
        """
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise DrillError(f"Job '{self.name}' says no more and does not end; see {self._process.args}.") from None

    def _read(self) -> None:
        for line in self._output:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


@contextmanager
def running(order: Order, name: str, label: str) -> Iterator[Running]:
    """A job of an order, for as long as the block lasts; nothing of it runs any more after that."""
    command = [
        sys.executable, "-m", "local_mode", "train", str(order.request(name, label)),
        *order.running, "--root", str(order.root),
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        started = Running(name, process)
        try:
            yield started
        finally:
            if process.poll() is None:
                _end(process)


def tidy(order: Order) -> None:
    """End and remove what killed jobs left outside of their output."""
    sweep(order.root, (process_runner.remove_leftovers,))


def _end(process: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):  # stop; kill; and if it hears of neither
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        deadline = time.monotonic() + _END_SECONDS / 3
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is not None:
            return
