"""Which jobs may be forked from a process that has their framework imported: those whose tag allows it."""

from collections.abc import Mapping
from typing import Any

from local_mode.jobs.request import TrainingJobRequest

TAG, FORK = "local_mode:start", "fork"
"""Tag of a request, and its value that allows it. A tuning job hands its tags on to its training jobs."""


def template(request: TrainingJobRequest, shared: Mapping[str, str]) -> Mapping[str, str] | None:
    """The variables of all jobs that may be forked with this one, `shared` being those of all jobs here.

    None where the job is to be started by itself.
    """
    tags: list[dict[str, Any]] = request.Tags or []
    if not any(tag.get("Key") == TAG and tag.get("Value") == FORK for tag in tags):
        return None
    return {**shared, **(request.Environment or {})}
