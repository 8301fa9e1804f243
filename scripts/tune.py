#!/usr/bin/env python3
"""Sends a sweep for hyperparameters to SageMaker, or to an endpoint on this machine, from a YAML file.

    tune.py SWEEP.yaml --bucket s3://my-bucket/vision               send it, show its trials, end as it ends
    tune.py SWEEP.yaml --bucket s3://... --dry-run                  print the request, send nothing

The file is a CreateHyperParameterTuningJob request in its own field names; of each definition of training jobs it may
leave out what a job of `make submit` may. AWS_ENDPOINT_URL and AWS's other variables say where it goes. Exit code:
0 Completed, 1 refused or Failed, 2 Stopped, as by Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.exceptions import BotoCoreError, ClientError
from trainjob.errors import TrainJobError

from scripts.environments.environment import SetupError
from scripts.local_job import STATE
from scripts.local_train import UsageError, read_hyperparameters
from scripts.submit_training import INTERRUPTED, MAX_USD
from scripts.submitting import destination
from scripts.submitting.errors import SubmitError
from scripts.tuning import request as requests
from scripts.tuning.sweep import Order, run

OUTPUT = STATE / "sweeps"


def main(argv: Sequence[str] | None = None) -> int:
    """Does what was asked with the sweep; the exit code."""
    arguments = _parse(argv)
    try:
        return run(order_of(arguments), destination.find())
    except (SubmitError, UsageError, SetupError, TrainJobError, ClientError, BotoCoreError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def order_of(arguments: argparse.Namespace) -> Order:
    """What was typed.

    Raises:
        SubmitError: The file cannot be read.
        UsageError: `--set` cannot.
    """
    document = requests.with_static(requests.read(arguments.sweep), read_hyperparameters(arguments.hyperparameters))
    if arguments.role:
        document = requests.each_definition(document, lambda each: {**each, "RoleArn": arguments.role})
    return Order(
        document=document,
        base_name=arguments.sweep.stem,
        bucket=arguments.bucket,
        role=os.environ.get("SAGEMAKER_ROLE_ARN"),
        output=arguments.output,
        upload=arguments.upload,
        dry_run=arguments.dry_run,
        follow=not arguments.no_wait,
        max_usd=arguments.max_usd,
        yes=arguments.yes,
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send a sweep for hyperparameters from a YAML file.")
    parser.add_argument(
        "sweep", type=Path, metavar="SWEEP.yaml", help="a CreateHyperParameterTuningJob request, as in examples/tuning"
    )
    parser.add_argument("--bucket", default="", metavar="URI", help="what s3://BUCKET in the file stands for")
    parser.add_argument("--set", default="", dest="hyperparameters", metavar="HP", help='static ones: "key=value"')
    parser.add_argument("--role", default="", metavar="ARN", help="RoleArn, over the file's and SAGEMAKER_ROLE_ARN")
    parser.add_argument("--upload", type=Path, metavar="DIR", help="bring prepared data to the channels first")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="where a folder of it is left")
    parser.add_argument("--dry-run", action="store_true", help="print the request and send nothing")
    parser.add_argument("--no-wait", action="store_true", help="send it and end")
    parser.add_argument("--max-usd", type=float, default=MAX_USD, metavar="USD", help="ask before more (%(default)g)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
