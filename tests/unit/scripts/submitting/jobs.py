"""Requests that tests of submitting begin with."""

import time
from pathlib import Path
from typing import Any

from scripts.submitting import job_file
from scripts.submitting.request import Situation, complete, limited

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = sorted((ROOT / "examples" / "jobs").glob("*.yaml"))
ROLE = "arn:aws:iam::123456789012:role/trainer"
AT = time.strptime("2026-11-26 12:00:00", "%Y-%m-%d %H:%M:%S")


def example(name: str = "pytorch-cifar10") -> dict[str, Any]:
    """What an example job says, in a bucket."""
    return job_file.placed(job_file.read(ROOT / "examples" / "jobs" / f"{name}.yaml"), "s3://mine/vision")


def situation(**changes: Any) -> Situation:
    given = {"base_name": "a job", "local": True, "role": ROLE, "at": AT}
    return Situation(**{**given, **changes})


def whole(document: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A request that can be sent, for this machine."""
    return limited(complete(document or example(), situation(**changes)), 3600)
