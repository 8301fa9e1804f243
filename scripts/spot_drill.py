#!/usr/bin/env python3
"""Interrupts a job at random moments and sees whether it trains as if nothing had been: `make spot-drill`.

    spot_drill.py [--framework keras] [--interruptions 6] [--seed 0]

A small job trains on drawn data without an interruption, then the same one is interrupted, by the loss of its spot
instance, by a stop or by SIGKILL, and gone on with until it is done. Every step, its loss, and the final weights must
be the same. Both loss curves are drawn into .local_mode/drills/FRAMEWORK-SEED.png.
Exit code: 0 all is the same, 1 refused, failed or different, 130 ended by Ctrl-C.
"""

import argparse
import json
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainjob.errors import TrainJobError
from trainjob.files import whole_file

from local_mode import host
from local_mode.errors import LocalModeError
from scripts.drilling import moments
from scripts.drilling.checking import Outcome, differences
from scripts.drilling.drill import run
from scripts.drilling.job import DrillError, Order, tidy
from scripts.drilling.show import Show
from scripts.environments.environment import ROOT, SetupError, say
from scripts.local_job import STATE, made_ready
from scripts.local_train import UsageError, check

MOST = 1000
INTERRUPTED = 130  # as a shell counts an interrupt
SMALL = {
    "pytorch": {
        "records": {"train": 3000, "validation": 500},
        "batch_size": 32,
        "least_epochs": 4,
        "learning_rate": "0.01",
    },
    "keras": {
        "records": {"train": 320, "validation": 100},
        "batch_size": 8,
        "least_epochs": 4,
        "learning_rate": "0.001",
    },
}
"""By framework, so much that its smallest network trains some seconds on a laptop, and learns by so small batches."""
CHECKPOINTS = {"checkpoint_seconds": "1", "checkpoint_steps": "25", "keep_checkpoints": "3", "shuffle_window": "300"}
INTERRUPTIONS_AN_EPOCH = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the drill; the exit code."""
    arguments = _parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleaned up after like Ctrl-C
    logging.getLogger("trainjob").addHandler(logging.NullHandler())  # the drill tells of torn checkpoints itself
    try:
        host.check()
        check("FRAMEWORK", arguments.framework, json.loads((ROOT / "images.json").read_text()))
        count = _number("INTERRUPTIONS", arguments.interruptions, 1)
        seed = _number("SEED", arguments.seed, 0)
        return _drill(arguments.framework, count, seed, arguments)
    except (UsageError, SetupError, TrainJobError, LocalModeError, DrillError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; everything of the drill is removed", file=sys.stderr)
        return INTERRUPTED
    return 1


def _drill(framework: str, count: int, seed: int, arguments: argparse.Namespace) -> int:
    state = arguments.state.resolve()
    running = made_ready(framework, "process", arguments.python or None, state)
    drills = state / "drills"
    drills.mkdir(parents=True, exist_ok=True)
    folder, kept = Path(tempfile.mkdtemp(prefix=f"{framework}-", dir=drills)), False
    order = _order(framework, folder, running, count)
    try:
        outcome = run(order, partial(moments.draw, seed, count), Show())
        found = differences(outcome)
        from scripts.drilling import figures  # noqa: PLC0415 - Matplotlib takes a second, and is not needed before

        title = f"{framework}: {count} interruptions, seed {seed}; {_verdict(found)}"
        picture = drills / f"{framework}-{seed}.png"
        with whole_file(picture) as file:
            file.write(figures.draw(outcome, title))
        kept = bool(found)
    finally:
        tidy(order)
        if not kept:
            shutil.rmtree(folder)
    _tell(outcome, found)
    if kept:
        say(f"jobs, checkpoints and logs are kept in {folder}")
    print(picture)
    return 1 if found else 0


def _order(framework: str, folder: Path, running: Sequence[str], count: int) -> Order:
    small = SMALL[framework]
    return Order(
        framework=framework,
        folder=folder,
        running=running,
        records=small["records"],
        batch_size=small["batch_size"],
        epochs=max(small["least_epochs"], -(-count // INTERRUPTIONS_AN_EPOCH)),
        settings=CHECKPOINTS | {"learning_rate": small["learning_rate"]},
    )


def _tell(outcome: Outcome, found: Sequence[str]) -> None:
    attempts = outcome.course.attempts
    taken = sum(len(attempt.steps) for attempt in attempts)
    torn = sum(len(attempt.skipped) for attempt in attempts)
    for text in found:
        print(f"error: {text}", file=sys.stderr)
    say(
        f"{len(attempts)} attempts took {taken} steps for {outcome.steps} and left {torn} torn checkpoints alone; "
        f"{_verdict(found)}"
    )


def _verdict(found: Sequence[str]) -> str:
    return "steps, losses and final weights as uninterrupted" if not found else f"{len(found)} differences"


def _number(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= (MOST if least else 2**31 - 1):
        raise UsageError(f"{name}={text} is no such number; give {least} to {MOST if least else 2**31 - 1}")
    return int(text)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Interrupt a job at random moments.")
    parser.add_argument("--framework", default="pytorch", help="what trains, a key of images.json (%(default)s)")
    parser.add_argument("--interruptions", default="6", metavar="N", help="as many (%(default)s)")
    parser.add_argument("--seed", default="0", help="of the moments (%(default)s)")
    parser.add_argument("--python", default="", metavar="PYTHON", help="interpreter that has the framework")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="folder of drills (.local_mode)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
