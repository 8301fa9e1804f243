"""Training on two hosts of one core each, beside one: the program itself, started by its launcher, in Pipe mode.

    make bench/scaling              # FRAMEWORK=keras

Every host is a process with an address of its own on loopback, pinned to a core of its own; gradients go by gloo, or by
TensorFlow's ring. Batches are a host's, and large enough for a step to take as long as such a model's does: what a step
takes on one host is a target, too, without which the ratio says nothing. An epoch's first pass warms up.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainjob.contract import PIPE, Paths

from benchmarks.rounds import Target, measure, parser, ratio, report
from tests.small_job import records

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900
"""Bounds a job."""
EPOCHS = 3
HOSTS = 2
VALIDATION = 64
_SPEED = re.compile(r"images_per_second=(\d+)")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a framework is to train, and how well it is to scale."""

    package: str
    batch_size: int
    """A host's."""
    steps: int
    """Of an epoch."""
    least_step_ms: float
    least_ratio: float


LOADS = {
    "pytorch": Load(package="pytorch_job", batch_size=1024, steps=12, least_step_ms=50, least_ratio=1.8),
    "keras": Load(package="keras_job", batch_size=256, steps=6, least_step_ms=400, least_ratio=1.5),
}


def main() -> int:
    """Run the rounds and print the figures."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--framework", choices=LOADS, default="pytorch")
    options.add_argument("--python", required=True, help="an interpreter that has it")
    arguments = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < HOSTS:
        sys.exit(f"error: this machine lets us have {len(cores)} core; two hosts of one core each want {HOSTS}")
    load = LOADS[arguments.framework]
    run = partial(_images_per_second, load, arguments.framework, arguments.python)
    figures = measure({"two_hosts": lambda: run(cores[:HOSTS]), "one_host": lambda: run(cores[:1])}, arguments.rounds)
    step_ms = 1000 * load.batch_size / statistics.median(figures["one_host"])
    report(
        f"scaling_{arguments.framework}",
        "images/s",
        figures,
        {"two_vs_one": ratio(figures, "two_hosts", "one_host")},
        {"two_vs_one": Target(least=load.least_ratio), "one_host_step_ms": Target(least=load.least_step_ms)},
        check=arguments.check,
        one_host_step_ms=step_ms,
    )
    return 0


def _images_per_second(load: Load, framework: str, python: str, cores: list[int]) -> float:
    """Of all hosts together: one for each core."""
    content = records(load.batch_size * load.steps * len(cores), 0)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as left:
        programs = []
        for rank, core in enumerate(cores):
            base = Path(folder, str(rank))
            _write(base, load, rank, len(cores))
            left.callback(_fed(base, {"train": content, "validation": records(VALIDATION, 0)}))
            program = _start(base, load, framework, python, core, f"scaling-{os.getpid()}-{Path(folder).name}")
            programs.append(left.enter_context(program))
            left.callback(program.kill)
        said = [program.communicate(timeout=SECONDS)[0] for program in programs]
    for program, text in zip(programs, said, strict=True):
        if program.returncode:
            sys.exit(f"error: a host ended with {program.returncode}: {text[-2000:]}")
    return statistics.median(map(int, _SPEED.findall(said[0])[1:]))


def _write(base: Path, load: Load, rank: int, count: int) -> None:
    """What the platform tells a host."""
    paths, names = Paths(base), [f"127.0.0.{2 + number}" for number in range(count)]
    for folder in (paths.config, paths.data):
        folder.mkdir(parents=True)
    parameters = {"batch_size": str(load.batch_size), "epochs": str(EPOCHS)}
    told = {"hosts": names, "current_host": names[rank], "network_interface_name": "lo"}
    paths.hyperparameters.write_text(json.dumps(parameters))
    paths.input_data_config.write_text(
        json.dumps({name: {"TrainingInputMode": PIPE} for name in ("train", "validation")})
    )
    paths.resource_config.write_text(json.dumps(told))


def _start(base: Path, load: Load, framework: str, python: str, core: int, job: str) -> subprocess.Popen[str]:
    folders = (ROOT / "containers" / "common", ROOT / "containers" / framework)
    environ = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "SAGEMAKER_BASE_DIR": str(base),
        "TRAINJOB_PROGRAMS": load.package,
        "TRAINING_JOB_NAME": job,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }
    return subprocess.Popen(
        [python, "-m", "trainjob.launch"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - a system call that takes no lock
    )


def _fed(base: Path, channels: dict[str, bytes]) -> Callable[[], None]:
    """Feed FIFOs in threads, for as many epochs as a program opens; what ends that."""
    ended = threading.Event()
    for name, content in channels.items():
        os.mkfifo(Paths(base).fifo(name, 0))
        threading.Thread(target=_feed, args=(Paths(base), name, content, ended), daemon=True).start()
    return ended.set


def _feed(paths: Paths, name: str, content: bytes, ended: threading.Event) -> None:
    view, epoch = memoryview(content), 0
    while not ended.is_set():
        # A reader that leaves early ends the epoch; the folder is gone once the program has ended.
        with suppress(BrokenPipeError, FileNotFoundError), paths.fifo(name, epoch).open("wb", buffering=0) as fifo:
            sent = 0
            while sent < len(view):
                sent += fifo.write(view[sent : sent + (1 << 20)]) or 0
        epoch += 1
        with suppress(FileNotFoundError):
            os.mkfifo(paths.fifo(name, epoch))
            paths.fifo(name, epoch - 1).unlink()


if __name__ == "__main__":
    sys.exit(main())
