"""One sweep from what a person wrote to its exit code: completed, checked, agreed to, sent, followed, left in files."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.tuning.plan import Plan
from scripts.environments.environment import say, shown
from scripts.submitting import agreement, checking, estimate, job_file, limiting, prices, uploading
from scripts.submitting.destination import Destination
from scripts.submitting.errors import SubmitError
from scripts.submitting.request import DAY, Situation
from scripts.submitting.watching import ENDED
from scripts.tuning import outcome
from scripts.tuning import request as requests
from scripts.tuning.following import Course, Following
from scripts.tuning.outcome import Sweep
from scripts.tuning.screen import Screen
from scripts.tuning.table import Table

_LOCAL_LOOK_SECONDS, _LOOK_SECONDS = 0.5, 10.0
_FAILED = ENDED["Failed"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be done with a sweep."""

    document: Mapping[str, Any]
    """The request as it is written, with what was typed over it."""
    base_name: str
    """Begins the tuning job's name."""
    bucket: str
    """What s3://BUCKET stands for."""
    role: str | None
    """RoleArn where the definitions have none."""
    output: Path
    """The folder for folders of sweeps."""
    upload: Path | None = None
    """Prepared data to be brought to the channels first."""
    dry_run: bool = False
    follow: bool = True
    max_usd: float = 0.0
    yes: bool = False
    """That nobody is to be asked."""


def run(order: Order, place: Destination) -> int:
    """Does it; the exit code is that of the sweep's status: 0 Completed, 1 Failed, 2 Stopped.

    Raises:
        SubmitError: What was ordered cannot be sent, or was not agreed to.
    """
    request, plan = _whole(order, place)
    if order.dry_run:
        print(json.dumps(request, indent=2))
        return 0
    jobs = _jobs(request)
    if not place.is_local:
        _agree(order, plan, jobs)
    if order.upload:
        count = uploading.upload(place, uploading.plan(jobs[0], order.upload))
        say(f"uploaded: {count:,} object(s) of {order.upload}")
    place.sagemaker.create_hyper_parameter_tuning_job(**request)
    print(f"{plan.name}: {plan.strategy}, {plan.jobs} trials, {plan.parallel} at a time, {place.described}", flush=True)
    return _follow(order, plan, place, max(each["StoppingCondition"]["MaxRuntimeInSeconds"] for each in jobs))


def _whole(order: Order, place: Destination) -> tuple[dict[str, Any], Plan]:
    """The request with all that was left out, checked; and what it comes to."""
    document = job_file.placed(order.document, order.bucket)
    checking.check(document, whole=False, operation=requests.OPERATION)
    situation = Situation(base_name=order.base_name, local=place.is_local, role=order.role, at=time.gmtime())
    request = requests.complete(document, situation)
    requests.check(request)
    request = requests.with_limits(request, lambda job: limiting.limit(job, place))
    return request, requests.check(request)


def _jobs(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    several = request.get("TrainingJobDefinitions") or [request["TrainingJobDefinition"]]
    return [requests.as_job(each) for each in several]


def _agree(order: Order, plan: Plan, jobs: list[dict[str, Any]]) -> None:
    table = prices.read()
    known = [cost for job in jobs if (cost := estimate.most_usd(job, table)) is not None]
    most = max(known) * plan.jobs if len(known) == len(jobs) else None
    agreement.agree("sweep", most, table, most=order.max_usd, yes=order.yes)


def _follow(order: Order, plan: Plan, place: Destination, job_seconds: float) -> int:
    if not order.follow:
        return 0
    definition = plan.definitions[0]
    names = list(dict.fromkeys(each.name for one in plan.definitions for each in one.space))
    table = Table(objective=definition.objective, names=names, jobs=plan.jobs, parallel=plan.parallel)
    following = Following(place, plan, table, Screen(sys.stdout, table.header))
    most = (plan.seconds or job_seconds * plan.jobs) + DAY
    course = following.follow(every=_LOCAL_LOOK_SECONDS if place.is_local else _LOOK_SECONDS, most=most)
    if not course.has_ended:
        raise SubmitError(
            f"{plan.name} has not ended within {estimate.duration(most)}; it goes on, and is not followed"
        )
    return _conclude(order, plan, course)


def _conclude(order: Order, plan: Plan, course: Course) -> int:
    """Says how it ended, and leaves what is to be left."""
    sweep = Sweep(document=order.document, plan=plan, seen=course.seen)
    print(f"\n{plan.name}: {outcome.summary(sweep)}")
    if course.missing:
        print(course.missing, flush=True)
        return _FAILED
    if reason := course.seen.described.get("FailureReason"):
        print(f"  reason  {reason}")
    left = outcome.leave(sweep, order.output / plan.name)
    for path in left:
        print(f"  file    {shown(path)}")
    if left and left[-1].name == outcome.BEST:
        print(f"  next    make submit JOB={shown(left[-1])} BUCKET=s3://...", flush=True)
    return ENDED[course.seen.status]
