"""One job on this machine, and what of the machine is its: given to whoever runs a part of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_mode.channels.plan import ChannelPlan
from local_mode.instance.cluster import Cluster
from local_mode.jobs.choices import DEFAULT, Choices
from local_mode.jobs.door import Open
from local_mode.jobs.folder import JobFolder
from local_mode.jobs.listener import Listener
from local_mode.jobs.outputs import Outputs
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.trace import Trace
from local_mode.runners.protocol import Runner

if TYPE_CHECKING:  # it brings boto3, which a job of this machine's files does without
    from local_mode.channels.s3 import S3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What belongs to this machine and not to the request."""

    shm_bytes: int
    grace_seconds: float
    """From SIGTERM to SIGKILL."""
    region: str
    s3: "S3 | None" = None
    """Serves s3:// places; None refuses them."""
    door: Open | None = None
    """Lets programs reach S3; None leaves them as they are."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What programs are told beside what the platform tells them; the request's own Environment goes before it."""
    choices: Choices = DEFAULT
    """Of what the service may do otherwise."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One job on this machine: the request, and what was made of it."""

    request: TrainingJobRequest
    cluster: Cluster
    plans: Mapping[str, tuple[ChannelPlan, ...]]
    """The channels of every host, by its name."""
    outputs: Outputs
    runner: Runner
    folder: JobFolder
    settings: Settings
    environment: Mapping[str, str]
    """What the platform and the request set for the program."""
    listener: Listener
    trace: Trace
