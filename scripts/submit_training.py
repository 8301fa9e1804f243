#!/usr/bin/env python3
"""Sends a training job to SageMaker, or to an endpoint on this machine, from a YAML file: `make submit JOB=...`.

    submit_training.py JOB.yaml --bucket s3://my-bucket/vision --wait       send it, show its log, end as it ends
    submit_training.py JOB.yaml --bucket s3://... --dry-run                 print the request, send nothing
    submit_training.py JOB.yaml --bucket s3://... --as estimator            print SDK v2 code that sends the same
    submit_training.py JOB.yaml --bucket s3://... --as model-trainer        print SDK v3 code that sends the same
    submit_training.py JOB.yaml --bucket s3://... --estimate                what it takes in time and money

The file is a CreateTrainingJob request in its own field names; what it leaves out is filled in. AWS_ENDPOINT_URL and
AWS's other variables say where it goes. Exit code: 0 done or Completed, 1 refused or Failed, 2 Stopped.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.exceptions import BotoCoreError, ClientError
from trainjob.errors import TrainJobError

from scripts.environments.environment import SetupError, say
from scripts.local_train import UsageError, read_hyperparameters
from scripts.submitting import (
    agreement,
    checking,
    destination,
    estimate,
    estimator,
    job_file,
    limiting,
    model_trainer,
    prices,
    uploading,
)
from scripts.submitting.destination import Destination
from scripts.submitting.errors import SubmitError
from scripts.submitting.request import DAY, Situation, complete, limited
from scripts.submitting.watching import ENDED, Watch, summary

CODE = {"estimator": estimator.code, "model-trainer": model_trainer.code}
MAX_USD = 5.0
INTERRUPTED = 130
"""As a shell counts an interrupt."""
_NO_BUCKET = "s3://not-named"
_LOCAL_LOOK_SECONDS, _LOOK_SECONDS = 0.5, 5.0


def main(argv: Sequence[str] | None = None) -> int:
    """Does what was asked with the job; the exit code."""
    arguments = _parse(argv)
    try:
        if arguments.estimate:
            return _tell_estimate(arguments)
        place = destination.find()
        request = _request(arguments, local=place.is_local)
        request = limiting.limit(request, place)
        if arguments.dry_run or arguments.code:
            print(CODE[arguments.code](request).strip() if arguments.code else json.dumps(request, indent=2))
            return 0
        return _send(request, place, arguments)
    except (SubmitError, UsageError, SetupError, TrainJobError) as error:
        print(f"error: {error}", file=sys.stderr)
    except (ClientError, BotoCoreError) as error:
        print(f"error: {error}", file=sys.stderr)  # the service has said what is wrong
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def _tell_estimate(arguments: argparse.Namespace) -> int:
    """Says what the job takes. For that nothing need be pushed, and S3 be in reach only for what the channels hold."""
    s3 = None
    if arguments.bucket:
        s3 = destination.find().s3
    else:
        arguments.bucket = _NO_BUCKET
    request = _request(arguments, local=True)
    reckoned = limiting.reckon(request, s3, afresh=True)
    print(f"{arguments.job} on {request['ResourceConfig']['InstanceType']}:\n{reckoned}")
    return 0


def _request(arguments: argparse.Namespace, *, local: bool) -> dict[str, Any]:
    """The whole request but for limits of time that nobody gave."""
    document = job_file.placed(job_file.read(arguments.job), arguments.bucket)
    document = job_file.with_hyperparameters(document, read_hyperparameters(arguments.hyperparameters))
    checking.check(document, whole=False)
    if arguments.role:
        document["RoleArn"] = arguments.role
    situation = Situation(
        base_name=arguments.job.stem,
        local=local,
        role=os.environ.get("SAGEMAKER_ROLE_ARN"),
        at=time.gmtime(),
    )
    request = complete(document, situation)
    checking.check(limited(request, DAY), whole=True)
    return request


def _send(request: dict[str, Any], place: Destination, arguments: argparse.Namespace) -> int:
    if not place.is_local:
        table = prices.read()
        agreement.agree("job", estimate.most_usd(request, table), table, most=arguments.max_usd, yes=arguments.yes)
    if arguments.upload:
        count = uploading.upload(place, uploading.plan(request, arguments.upload))
        say(f"uploaded: {count:,} object(s) of {arguments.upload}")
    name = request["TrainingJobName"]
    place.sagemaker.create_training_job(**request)
    print(f"{name}: sent to {place.described}", flush=True)
    return _follow(request, place) if arguments.wait else 0


def _follow(request: Mapping[str, Any], place: Destination) -> int:
    """Shows the job until it ends; an interrupt asks whether to stop it. The exit code is that of its status."""
    name, limits = request["TrainingJobName"], request["StoppingCondition"]
    watch = Watch(place, name, lambda line: print(line, flush=True))
    every = _LOCAL_LOOK_SECONDS if place.is_local else _LOOK_SECONDS
    most = limits.get("MaxWaitTimeInSeconds", limits["MaxRuntimeInSeconds"]) + DAY
    while True:
        try:
            described = watch.follow(every=every, most=most)
        except KeyboardInterrupt:
            if not _is_to_stop(name):
                say(f"{name} goes on; to stop it: aws sagemaker stop-training-job --training-job-name {name}")
                return INTERRUPTED
            place.sagemaker.stop_training_job(TrainingJobName=name)
            say(f"{name}: asked to stop; an interrupt more leaves it alone")
            continue
        if described["TrainingJobStatus"] not in ENDED:
            raise SubmitError(f"{name} has not ended within {estimate.duration(most)}; it goes on, and is not followed")
        print(summary(described))
        return ENDED[described["TrainingJobStatus"]]


def _is_to_stop(name: str) -> bool:
    """What the person says; who is not at a terminal, or interrupts again, leaves the job alone."""
    if not sys.stdin.isatty():
        return False
    try:
        return agreement.is_yes(f"\nStop {name}? [y/N] ")
    except KeyboardInterrupt:
        return False


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Send a training job from a YAML file.")
    parser.add_argument("job", type=Path, metavar="JOB.yaml", help="a CreateTrainingJob request, as in examples/jobs")
    parser.add_argument("--bucket", default="", metavar="URI", help="what s3://BUCKET in the file stands for")
    parser.add_argument("--set", default="", dest="hyperparameters", metavar="HP", help="\"key=value key2='a b'\"")
    parser.add_argument("--role", default="", metavar="ARN", help="RoleArn, over the file's and SAGEMAKER_ROLE_ARN")
    parser.add_argument("--upload", type=Path, metavar="DIR", help="bring prepared data to the job's channels first")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="print the request and send nothing")
    what.add_argument("--as", choices=CODE, dest="code", help="print code of an SDK that sends the same")
    what.add_argument("--estimate", action="store_true", help="measure a short run here; time and money of the job")
    parser.add_argument("--wait", action="store_true", help="show status and log until the job ends")
    parser.add_argument("--max-usd", type=float, default=MAX_USD, metavar="USD", help="ask before more (%(default)g)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
