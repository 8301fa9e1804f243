"""Command line of local_mode.

Run:  python -m local_mode train REQUEST.json [--runtime auto|docker|process] [--stand-ins FILE]

Exit code: 0 Completed, 1 Failed or refused, 2 Stopped.
"""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from local_mode import host
from local_mode.console import Console
from local_mode.errors import LocalModeError
from local_mode.jobs.create import create
from local_mode.jobs.execution import Settings
from local_mode.jobs.job import Job
from local_mode.jobs.record import COMPLETED, STOPPED
from local_mode.jobs.rules import parse
from local_mode.jobs.sweep import sweep
from local_mode.runners import docker, process
from local_mode.runners.choose import RUNTIMES, choose
from local_mode.runners.protocol import STOP_GRACE_SECONDS
from local_mode.runners.stand_in import read_stand_ins

EXIT_COMPLETED, EXIT_FAILED, EXIT_STOPPED = 0, 1, 2
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        host.check()
        return _train(arguments)
    except LocalModeError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _train(arguments: argparse.Namespace) -> int:
    request = parse(_read_json(arguments.request))
    stand_ins = read_stand_ins(arguments.stand_ins) if arguments.stand_ins else {}
    image = request.AlgorithmSpecification.TrainingImage
    runner, why = choose(arguments.runtime, image=image, stand_ins=stand_ins, caller=os.environ)
    console = Console()
    console.note(why)
    root = arguments.root.resolve()
    for name in sweep(root, (process.remove_leftovers, _remove_containers)):
        console.note(f"cleaned up after job {name}, whose local_mode was killed; it is marked Failed")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    settings = Settings(shm_bytes=arguments.shm_size, grace_seconds=arguments.stop_grace, region=region)
    with _stop_signals() as signals:
        job = create(request, runner=runner, root=root, console=console, settings=settings)
        _follow(job, signals, console, arguments.stop_grace)
    description = job.describe()
    console.summary(description, job.folder.path)
    return {COMPLETED: EXIT_COMPLETED, STOPPED: EXIT_STOPPED}.get(description["TrainingJobStatus"], EXIT_FAILED)


def _follow(job: Job, signals: list[int], console: Console, grace: float) -> None:
    """Wait for the end; the first signal stops the job as StopTrainingJob does, the second kills it."""
    answered = 0
    while not job.wait(0.1):
        if len(signals) > answered:
            name = signal.Signals(signals[answered]).name
            if answered == 0:
                console.note(f"{name}: stopping the job; SIGKILL follows in {grace:g} s, or at the next {name}")
                job.stop()
            else:
                console.note(f"{name}: killing the job")
                job.kill()
            answered += 1


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The stop signals that came, in order; a handler that does no more cannot deadlock."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in _STOP_SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove_containers(job_folder: Path) -> None:
    """Remove containers of a dead job, where an engine answers; where none does, none can run."""
    engine, _ = docker.connect(os.environ)
    if engine is not None:
        engine.remove_leftovers(job_folder)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalModeError(f"Cannot read the request {path}: {error.strerror}; give a JSON file.") from None
    except ValueError as error:
        raise LocalModeError(f"The request {path} is not JSON: {error}.") from None


def _size(text: str) -> int:
    """Bytes of a size such as 512m or 2g."""
    match = re.fullmatch(r"(\d+)([kmg]?)b?", text.lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write one like 512m or 2g")
    return int(match[1]) * _UNITS[match[2]]


class _Parser(argparse.ArgumentParser):
    """Ends with exit code 1 on a wrong command line, as on every mistake of the user: 2 means Stopped."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_FAILED, f"error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="local_mode", description="A local SageMaker.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    train = commands.add_parser("train", help="run a CreateTrainingJob request", epilog="Exit code: 0 Completed, "
                                "1 Failed or refused, 2 Stopped.")  # fmt: skip
    train.add_argument("request", type=Path, metavar="REQUEST.json", help="a CreateTrainingJob request")
    train.add_argument("--runtime", choices=RUNTIMES, default="auto", help="default: Docker if it can, else process")
    train.add_argument("--stand-ins", type=Path, metavar="FILE", help="what runs in place of images, without Docker")
    train.add_argument("--root", type=Path, default=Path(".local_mode"), help="folder of all jobs (%(default)s)")
    train.add_argument(
        "--shm-size", type=_size, default=_size("2g"), metavar="SIZE", help="shared memory in Docker (2g)"
    )
    train.add_argument("--stop-grace", type=float, default=STOP_GRACE_SECONDS, metavar="SECONDS",
                       help="from SIGTERM to SIGKILL (%(default)s)")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
