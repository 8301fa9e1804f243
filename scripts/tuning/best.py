"""The best trial of a sweep as a job file for `make submit`: what the person wrote, with the values it found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.environments.environment import write_whole
from scripts.tuning.request import as_job
from scripts.tuning.trials import Trial

_WIDTH = 120


def job(document: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """A CreateTrainingJob request as it is written in a file: what the sweep's left out is left out again.

    So a sweep on this machine gives a job for AWS: image, bucket, role and name are found when that is sent.
    """
    several = document.get("TrainingJobDefinitions") or [document["TrainingJobDefinition"]]
    definition = next((each for each in several if each.get("DefinitionName") == trial.definition), several[0])
    request = as_job(definition)
    return {**request, "HyperParameters": {**request["HyperParameters"], **trial.values}}


def write(path: Path, request: Mapping[str, Any], about: str) -> None:
    """Leaves it in a file, with a comment on where it is from."""
    body = yaml.safe_dump(dict(request), sort_keys=False, width=_WIDTH, allow_unicode=True)
    write_whole(path, f"# {about}\n{body}")
