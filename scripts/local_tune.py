#!/usr/bin/env python3
"""Runs a sweep for hyperparameters on this machine, from data to the best request: `make local-tune`.

    local_tune.py [--framework keras] [--dataset cifar10] [--data DIR] [--hyperparameters "epochs=5"]

The sweep is examples/tuning/FRAMEWORK-DATASET.yaml, and goes to the endpoint of `make local-up`; where none runs, one
is started for its time. Ctrl-C stops the sweep. Exit code: 0 Completed, 1 refused or Failed, 2 Stopped.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.exceptions import BotoCoreError, ClientError
from trainjob.errors import TrainJobError

from local_mode import host
from local_mode.errors import LocalModeError
from local_mode.jobs.forking import FORK, TAG
from local_mode.runners.choose import RUNTIMES
from scripts.datasets import shards
from scripts.datasets.catalogue import DATASETS
from scripts.environments.environment import ROOT, SetupError
from scripts.local_job import STATE, made_ready
from scripts.local_train import UsageError, check, find_data, read_hyperparameters
from scripts.submit_training import INTERRUPTED
from scripts.submitting import destination
from scripts.submitting.errors import SubmitError
from scripts.tuning import request as requests
from scripts.tuning.endpoint import led
from scripts.tuning.sweep import Order, run

SWEEPS = ROOT / "examples" / "tuning"
BUCKET = "s3://local-tune"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the sweep; the exit code."""
    arguments = _parse(argv)
    try:
        host.check()
        order = order_of(arguments)
        running = made_ready(arguments.framework, arguments.runtime, arguments.python or None, arguments.state)
        with led(arguments.state, running):
            return run(order, destination.find())
    except (
        UsageError, SetupError, TrainJobError, LocalModeError, SubmitError, ClientError, BotoCoreError,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def order_of(arguments: argparse.Namespace) -> Order:
    """What was asked for, with its data in place.

    Raises:
        UsageError: An argument is not one of those there are.
        TrainJobError: The data is not the data set.
        SubmitError: The file cannot be read.
    """
    check("FRAMEWORK", arguments.framework, json.loads((ROOT / "images.json").read_text()))
    check("DATASET", arguments.dataset, DATASETS)
    check("RUNTIME", arguments.runtime, RUNTIMES)
    typed = read_hyperparameters(arguments.hyperparameters)
    path = arguments.sweep or SWEEPS / f"{arguments.framework}-{arguments.dataset}.yaml"
    document = requests.read(path)
    data = find_data(arguments.dataset, arguments.data, arguments.state)
    own = DATASETS[arguments.dataset].hyperparameters(shards.read_manifest(data) or {})
    # What lies in a folder is told by the folder: two with files of the same names do not mix.
    place = f"{data.name}-{sha256(bytes(data.resolve())).hexdigest()[:8]}"
    return Order(
        document=forked(requests.with_static(document, {**own, **typed})),
        base_name=path.stem,
        bucket=f"{BUCKET}/{place}",
        role=None,
        output=arguments.state / "sweeps",
        upload=data,
    )


def forked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the tag by which trials are forked; one that the file has stays."""
    tags = document.get("Tags") or []
    if any(tag["Key"] == TAG for tag in tags):
        return {**document}
    return {**document, "Tags": [*tags, {"Key": TAG, "Value": FORK}]}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a sweep for hyperparameters on this machine.")
    parser.add_argument("--framework", default="pytorch", help="image to run, a key of images.json (%(default)s)")
    parser.add_argument("--dataset", default="cifar10", help="what to train on (%(default)s)")
    parser.add_argument("--runtime", default="auto", help="auto, docker or process (%(default)s)")
    parser.add_argument("--data", default="", metavar="DIR", help="folder of the published files, or its parent")
    parser.add_argument("--hyperparameters", default="", metavar="HP", help="static ones: \"key=value key2='a b'\"")
    parser.add_argument("--sweep", type=Path, metavar="SWEEP.yaml", help="in place of the one in examples/tuning")
    parser.add_argument("--python", default="", metavar="PYTHON", help="interpreter that has the framework")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="folder of jobs (.local_mode)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
