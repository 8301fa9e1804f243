"""Runs a job in the SageMaker SDK v2's own local mode, which is docker compose, and removes what that leaves."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.environments import project

PROGRAM = Path(__file__).parent / "sdk" / "v2_local_mode.py"
SECONDS = 300
_WORKING = "com.docker.compose.project.working_dir"
_PROJECT = "com.docker.compose.project"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended there."""

    status: str
    model: str
    """file:// URI of model.tar.gz."""
    seconds: float
    """Of fit()."""
    out: str


def run(
    client: Any, image: str, folder: Path, hyperparameters: Mapping[str, Any], channels: Mapping[str, Path]
) -> Ended:
    """One job of `image`, which leaves its model below `folder`; `client` is the docker SDK's.

    Raises:
        RuntimeError: the SDK's program failed; the text is what it said.
    """
    places = {name: str(path) for name, path in channels.items()}
    words = [image, str(folder), json.dumps(dict(hyperparameters)), json.dumps(places)]
    caller = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder.parent)}
    caller |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    command = [str(project.make_sdk("v2")), str(PROGRAM), *words]
    try:
        done = subprocess.run(
            command, env=caller, cwd=folder.parent, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    finally:
        _remove(client, folder)
    if done.returncode:
        raise RuntimeError(f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
    return Ended(**json.loads(done.stdout.rpartition("ANSWER ")[2]), out=done.stdout)


def _remove(client: Any, folder: Path) -> None:
    """Containers and networks of compose's projects below `folder`: the SDK leaves them."""
    projects = set()
    for container in client.containers.list(all=True, filters={"label": _WORKING}):
        if Path(container.labels[_WORKING]).is_relative_to(folder):
            projects.add(container.labels[_PROJECT])
            container.remove(force=True, v=True)
    for name in projects:
        for network in client.networks.list(filters={"label": f"{_PROJECT}={name}"}):
            network.remove()
