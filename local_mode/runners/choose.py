"""Chooses a runner, and says which and why."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from local_mode.errors import RunnerError
from local_mode.runners import bubblewrap
from local_mode.runners.forks import ForkServers
from local_mode.runners.process import ProcessRunner
from local_mode.runners.protocol import Runner
from local_mode.runners.stand_in import StandIn

if TYPE_CHECKING:
    from local_mode.runners.docker import DockerRunner

Connect = Callable[[Mapping[str, str]], tuple["DockerRunner | None", str]]
RUNTIMES = ("auto", "docker", "process")


def choose(
    runtime: str,
    *,
    image: str,
    stand_ins: Mapping[str, StandIn],
    caller: Mapping[str, str],
    connect: Connect | None = None,
    forks: ForkServers | None = None,
) -> tuple[Runner, str]:
    """The runner for `runtime` (one of RUNTIMES) and the sentence that says why it is this one.

    `forks` has processes that jobs may be forked from, where they run as processes.

    Raises:
        RunnerError: Docker is asked for and there is no engine.
    """
    if runtime == "process":
        return _process(stand_ins, caller, "", forks)
    engine, reason = (connect or connected)(caller)
    if engine is None:
        if runtime == "docker":
            raise RunnerError(
                f"The runtime asked for is docker, but {reason}; see to that, or take the runtime process."
            )
        return _process(stand_ins, caller, reason, forks)
    if runtime == "docker":
        return engine, "runs in Docker, as asked"
    if not engine.has_image(image):
        reason = f"the Docker engine has no image {image!r} (`make build` makes ours)"
        return _process(stand_ins, caller, reason, forks)
    return engine, f"runs in Docker: an engine answers and has the image {image}"


def connected(caller: Mapping[str, str]) -> "tuple[DockerRunner | None, str]":
    """The runner of the Docker engine that answers, and why there is none."""
    from local_mode.runners import docker  # noqa: PLC0415  # its SDK takes 40 ms, which not every start needs

    return docker.connect(caller)


def digest(caller: Mapping[str, str], image: str) -> str:
    """What an image is in its registry, else its id here; empty where no engine has it."""
    engine, _ = connected(caller)
    return engine.digest(image) if engine and image else ""


def _process(
    stand_ins: Mapping[str, StandIn], caller: Mapping[str, str], why_no_docker: str, forks: ForkServers | None
) -> tuple[Runner, str]:
    why = why_no_docker or "as asked"
    why_plain = bubblewrap.why_not()
    runner = ProcessRunner(
        stand_ins=stand_ins, caller=caller, why_plain=why_plain, why_no_docker=why_no_docker, forks=forks
    )
    how = f"as a plain process: {why}; {runner.limits}" if why_plain else f"as a process under bubblewrap: {why}"
    return runner, f"runs {how}"
