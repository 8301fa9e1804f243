"""What a runner is: something that starts one container, by whatever means, and keeps what it leaves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainjob import contract

STOP_GRACE_SECONDS = contract.STOP_GRACE_SECONDS
"""SIGTERM to SIGKILL, when a job is stopped."""
SCRATCH = "scratch"
"""Folder of a job that holds whatever must be gone when it ends."""


def mark(job_folder: Path) -> dict[str, str]:
    """Environment of every helper process of a job, by which a later run can tell whose they are."""
    return {"LOCAL_MODE_JOB": str(job_folder)}


@dataclass(frozen=True, kw_only=True)
class ChannelMount:
    """A folder that the container sees as the folder of a channel."""

    channel: str
    source: Path
    writable: bool = False
    """For a copy, which is the job's own; a folder that is bound in place of one is its owner's."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class SharedFolder:
    """A folder of this machine that the container reads and writes at a path of its own while it runs."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class Network:
    """What the hosts of a job reach each other by; `close` must follow when all of them are closed."""

    hosts: tuple[str, ...]
    """Every name that resolves, by number."""
    key: str = ""
    """What its runner knows it by; empty where nothing had to be made."""
    gateway: str = ""
    """This machine's address as the hosts see it; empty where they do not."""
    close: Callable[[], None] = _nothing
    """Remove it."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One container to start."""

    host: str
    """Its name among `network.hosts`; not the name the program's machine has."""
    network: Network
    job_name: str
    image: str
    job_folder: Path
    """The job's folder: its mark on processes and containers, so that a later run can tell whose they are."""
    opt_ml: Path
    """Tree to be found at /opt/ml, with FIFOs coming and going in input/data."""
    mounts: tuple[ChannelMount, ...] = ()
    checkpoints: SharedFolder | None = None
    """None without a CheckpointConfig."""
    entrypoint: tuple[str, ...] | None = None
    """Replaces the image's own entry point; None leaves that."""
    arguments: tuple[str, ...] | None = None
    """Replaces the word `train`; None leaves that, unless `entrypoint` is set."""
    environment: Mapping[str, str]
    template: Mapping[str, str] | None = None
    """What of `environment` the job has in common with others that may be forked from one process, which has imported
    what they need; None for a job that is to be started by itself."""
    network_isolation: bool = False
    shm_bytes: int
    """Size of /dev/shm."""
    pipes: bool = False
    """Whether any channel is streamed through FIFOs."""

    @property
    def scratch(self) -> Path:
        """Where a runner may put what this host needs; removed with the job."""
        return self.job_folder / SCRATCH / self.host

    @property
    def command(self) -> tuple[str, ...]:
        """Entry point and arguments as one argv, for an image with no entry point of its own."""
        if self.entrypoint is None and self.arguments is None:
            return (contract.TRAIN_ARGUMENT,)
        return (*(self.entrypoint or ()), *(self.arguments or ()))


class Instance(Protocol):
    """A container that was started. `close` must follow, whatever happens."""

    def log_lines(self) -> Iterator[bytes]:
        """Lines of stdout and stderr together, as they come, with their line ends; ends when both are closed."""
        ...

    def terminate(self) -> None:
        """SIGTERM to PID 1; nothing when it has ended."""
        ...

    def kill(self) -> None:
        """SIGKILL to everything in the container; nothing when it has ended."""
        ...

    def wait(self, timeout: float) -> int | None:
        """The exit code of PID 1 (128 + n after signal n), or None after `timeout` seconds."""
        ...

    def collect(self) -> None:
        """Bring model/, output/ and checkpoints/ back to Launch.opt_ml; after the end."""
        ...

    def open_up(self) -> None:
        """Let this user read, mark and remove what lies in Launch.checkpoints, whoever wrote it.

        Raises:
            RunnerError: that cannot be done; the text says what to do.
        """
        ...

    def close(self) -> None:
        """Kill what still runs and remove all traces but what `collect` brought."""
        ...


class Runner(Protocol):
    """A way to run containers on this machine."""

    @property
    def name(self) -> str:
        """One word."""
        ...

    @property
    def protects_channels(self) -> bool:
        """Whether mounts are read-only; where not, channels are copied so that no program can harm their source."""
        ...

    @property
    def limits(self) -> str:
        """What of the contract is not enforced here, as one sentence; empty when all is."""
        ...

    def check(
        self, *, image: str, network_isolation: bool, pipes: bool, hosts: int, interface: str = "",
        checkpoint_path: Path | None = None,
    ) -> None:  # fmt: skip
        """Refuse now what `connect` and `start` would refuse; `checkpoint_path` is SharedFolder.target to be.

        Raises:
            LocalModeError: the job cannot run here; the text says why and what to do.
        """
        ...

    def network_interface(self, *, isolated: bool, hosts: int) -> str:
        """Name of the interface that the job's hosts reach each other by."""
        ...

    def connect(self, job_folder: Path, hosts: tuple[str, ...], *, isolated: bool, interface: str = "") -> Network:
        """Make what these hosts of a job reach each other by; `isolated`, nothing else is reached by it.

        `interface` is a name of the hosts' interface, where it is not to be what `network_interface` says.

        Raises:
            LocalModeError: it cannot be made.
        """
        ...

    def start(self, launch: Launch) -> Instance:
        """Start a container, from a thread that outlives it.

        Raises:
            LocalModeError: it cannot be started.
        """
        ...
