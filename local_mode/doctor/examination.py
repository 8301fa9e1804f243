"""Looks at what a person has: an image, or a request with its image."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from local_mode.doctor import image, request
from local_mode.doctor.findings import Finding, has_failed, warn
from local_mode.errors import LocalModeError
from local_mode.runners.image import ImageFacts

if TYPE_CHECKING:  # it brings boto3, which most requests are looked at without
    from local_mode.channels.s3 import S3

__all__ = ["Inspect", "has_failed", "of_image", "of_request"]

Inspect = Callable[[str, Iterable[str]], ImageFacts]
"""What an engine says of an image and the programs asked for; raises LocalModeError where it has no such image."""


def of_image(name: str, *, inspect: Inspect | None, reason: str) -> list[Finding]:
    """Every finding on an image; without an engine, for `reason`, that alone."""
    if inspect is None:
        return [image.missing(name, reason)]
    try:
        return image.examine(inspect(name, image.programs_of(None)))
    except LocalModeError as error:
        return [image.missing(name, str(error))]


def of_request(  # all that may be looked at, each by its name
    document: Any,
    *,
    log: Iterable[str] | None,
    inspect: Inspect | None,
    reason: str,
    s3: "S3 | None" = None,
    unserved: str = "no S3 is served here",
) -> list[Finding]:
    """Every finding on a request and its image; `log` has lines of a run like it.

    `s3` is where s3:// places are looked at; without it each is told as not looked at, as `unserved` says why.
    """
    accepted, findings = request.read(document)
    if accepted is None:
        return findings
    findings += request.examine(document, accepted, log, s3, unserved)
    algorithm = accepted.AlgorithmSpecification
    name, entrypoint = algorithm.TrainingImage, algorithm.ContainerEntrypoint
    if inspect is None:
        advice = "start an engine and ask again; stand-ins run without it"
        return [*findings, warn("image", f"{name!r} was not looked at: {reason}", advice)]
    try:
        facts = inspect(name, image.programs_of(entrypoint))
    except LocalModeError as error:
        return [*findings, image.missing(name, str(error))]
    return [*findings, *image.examine(facts, entrypoint=entrypoint, arguments=algorithm.ContainerArguments)]
