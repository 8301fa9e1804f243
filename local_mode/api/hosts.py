"""Names of hosts: which of AWS's are answered here, which others are AWS's, and which are none of our business."""

import re
from enum import Enum

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"
_END = r"amazonaws\.com(?:\.cn)?"
_SERVED = re.compile(
    rf"""
      (?: sts | iam | logs | monitoring | api\.ecr | api\.sagemaker ) (?: -fips )? (?: \.{_REGION} )? \.{_END}
    | iam \. us-gov \.{_END}
    | (?: (?P<bucket> [a-z0-9][a-z0-9.\-]{{1,61}}[a-z0-9] ) \. )?
      (?: s3 (?: \.dualstack )? \. {_REGION} | s3-{_REGION} | s3 ) \.{_END}
    """,
    re.VERBOSE,
)
_AWS = re.compile(
    r"(?:.*\.)?(?:amazonaws\.(?:com|com\.cn|eu)|aws\.com|api\.aws|on\.aws|api\.amazonwebservices\.com\.cn)"
)


class Way(Enum):
    """What becomes of a connection to a host."""

    ANSWERED = "answered here"
    REFUSED = "refused"
    PASSED = "passed on"


def normal(host: str) -> str:
    """A name in the one form that is compared: small letters, no dot at the end."""
    return host.strip().lower().rstrip(".")


def way(host: str, port: int) -> Way:
    """What becomes of a connection to `host`: no name of AWS's ever leaves this machine."""
    name = normal(host)
    if _SERVED.fullmatch(name) and port == 443:
        return Way.ANSWERED
    return Way.REFUSED if is_aws(name) else Way.PASSED


def is_aws(host: str) -> bool:
    """Whether calls to a host, or to hosts below it, are calls to AWS."""
    return _AWS.fullmatch(normal(host)) is not None


def bucket(host: str) -> str:
    """The bucket that a name of S3's begins with; empty if it is in the path, or if the name is not S3's."""
    found = _SERVED.fullmatch(normal(host))
    return (found["bucket"] or "") if found else ""
