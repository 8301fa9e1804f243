"""Looks at an image: will SageMaker be able to start it, to stop it, and to give it its files?"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from trainjob import contract

from local_mode.doctor.findings import Finding, fail, ok, warn
from local_mode.runners.image import ImageFacts

_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_INITS = {"tini", "tini-static", "dumb-init", "docker-init", "catatonit", "s6-svscan", "my_init", "init"}
_ROOT = {"", "0", "root", "0:0", "root:root"}
_PYTHONS = ("python3", "python")


def programs_of(entrypoint: Sequence[str] | None) -> tuple[str, ...]:
    """What an engine is to look for in an image; `entrypoint` is the request's own, None to use the image's."""
    return (contract.TRAIN_ARGUMENT, *_PYTHONS, *(entrypoint or ())[:1])


def examine(
    facts: ImageFacts, *, entrypoint: Sequence[str] | None = None, arguments: Sequence[str] | None = None
) -> list[Finding]:
    """Every finding on an image that a request starts with `entrypoint` and `arguments`; None leaves the image's."""
    return [
        *_machine(facts),
        *_start(facts, entrypoint, arguments),
        *_stop(facts if entrypoint is None else entrypoint),
        *_files(facts),
        *_output(facts),
    ]


def missing(name: str, reason: str) -> Finding:
    """The finding on an image that cannot be looked at, because of `reason`."""
    return fail("image", f"{name!r} was not looked at: {reason}", "start the engine, build or pull the image")


def _machine(facts: ImageFacts) -> Iterator[Finding]:
    seen = f"{facts.system}/{facts.architecture}"
    if seen == "linux/amd64":
        yield ok("architecture", seen)
    else:
        yield fail("architecture", seen, "training instances run linux/amd64: build with --platform linux/amd64")


def _start(facts: ImageFacts, entrypoint: Sequence[str] | None, arguments: Sequence[str] | None) -> Iterator[Finding]:
    train = contract.TRAIN_ARGUMENT
    if entrypoint is not None:
        yield from _found(facts, entrypoint[0], "ContainerEntrypoint")
    elif facts.entrypoint:
        yield from _found(facts, facts.entrypoint[0], "ENTRYPOINT")
        if arguments is None and train not in facts.programs:
            seen = f"{list(facts.entrypoint)} gets the argument {train!r}"
            yield warn("start", seen, f"see that it takes it: SageMaker runs `docker run IMAGE {train}`")
    elif arguments is not None:
        yield ok("start", f"ContainerArguments {list(arguments)} is the command, as there is no ENTRYPOINT")
    elif train in facts.programs:
        yield ok("start", f"{train} is {facts.programs[train]}")
    else:
        path = facts.environment.get("PATH", "not set")
        yield fail(
            "start",
            f"no ENTRYPOINT, and no executable {train!r} on PATH ({path})",
            f"SageMaker runs `docker run IMAGE {train}`: pip install sagemaker-training, or put a program there",
        )


def _found(facts: ImageFacts, program: str, what: str) -> Iterator[Finding]:
    if program in facts.programs:
        yield ok("start", f"{what} starts {facts.programs[program]}")
    else:
        advice = "name a program of the image, by its whole path or on its PATH, and see that it is executable"
        yield fail("start", f"{what} starts {program!r}, which the image does not have", advice)


def _stop(started: ImageFacts | Sequence[str]) -> Iterator[Finding]:
    """Whether SIGTERM reaches the program."""
    words = started.entrypoint if isinstance(started, ImageFacts) else started
    if not words:
        return
    first = PurePosixPath(words[0]).name
    if isinstance(started, ImageFacts) and first in _SHELLS and len(words) > 2 and words[-2].endswith("c"):
        yield fail(
            "stop",
            f"ENTRYPOINT is in shell form: {list(words)}",
            'write it as JSON, ENTRYPOINT ["program"]: the shell keeps SIGTERM and drops the word train',
        )
    elif first in _INITS:
        advice = "AWS calls init wrappers as ENTRYPOINT unsupported; start the program itself, it is PID 1"
        yield warn("stop", f"{words[0]} is started first", advice)
    else:
        yield ok("stop", f"{words[0]} is PID 1 and gets SIGTERM")


def _files(facts: ImageFacts) -> Iterator[Finding]:
    base = contract.Paths().base
    if facts.baked:
        seen = f"the image ships {', '.join(facts.baked)}"
        yield fail("files", seen, f"the platform's own {base} hides them: put them elsewhere")
    else:
        yield ok("files", f"nothing of the image lies below {base}")
    if facts.user in _ROOT:
        yield ok("user", facts.user or "root")
    else:
        yield fail("user", facts.user, f"{base} is root's and closed to others: end the Dockerfile with USER root")
    if PurePosixPath(facts.folder or "/").is_relative_to(base):
        yield warn("files", f"WORKDIR is {facts.folder}", f"the platform's {base} replaces it: take another folder")


def _output(facts: ImageFacts) -> Iterator[Finding]:
    if any(name in facts.programs for name in _PYTHONS) and not facts.environment.get("PYTHONUNBUFFERED"):
        advice = "set ENV PYTHONUNBUFFERED=1: metrics and log lines come late, and the last are lost in a kill"
        yield warn("log", "Python buffers its output", advice)
