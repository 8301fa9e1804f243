"""Runs train_cifar10 in process after process, forked from this one, which has imported torch: an import takes longer.

    python -m tests.unit.pytorch_job.fork_server

Reads a JSON object a line: `base`, the job's folder, `log`, the file that the program prints to, and `step`, before
which it gets a SIGTERM, or null.
Answers each with a line with the process's id and, when it has ended, one with its exit code.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch._dynamo  # the first optimizer would import it, for a second
from pytorch_job import train_cifar10, training
from trainjob import lifecycle
from trainjob.training import pictures


def main() -> None:
    """Serve until there are no more requests."""
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(request["base"], Path(request["log"]), request["step"])
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(base: str, log: Path, step: int | None) -> NoReturn:
    printed = log.open("a", buffering=1)
    for number in (1, 2):
        os.dup2(printed.fileno(), number)
    sys.stdout = sys.stderr = printed
    try:
        _interrupt_before(step)
        pictures.learning_curve = lambda *arguments: False  # drawing takes longer than training here
        lifecycle.run(train_cifar10.main, {"SAGEMAKER_BASE_DIR": base})
    finally:
        os._exit(99)


def _interrupt_before(step: int | None) -> None:
    original, done = training.Trainer._step, 0

    def counted(*arguments: Any) -> Any:
        nonlocal done
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)
        done += 1
        return original(*arguments)

    training.Trainer._step = counted


if __name__ == "__main__":
    main()
