"""The tag on everything that a verb of this project makes in an account, and on nothing else."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

KEY = "vision-training:made-by"
SUBMIT, TUNE, PUSH = "make submit", "make tune", "make push"
"""Values: which verb it was."""


def tag(verb: str) -> dict[str, str]:
    """The tag, as SageMaker and ECR take it."""
    return {"Key": KEY, "Value": verb}


def header(verb: str) -> str:
    """The tag, as S3 takes it with an object."""
    return urlencode({KEY: verb})


def is_ours(tags: Iterable[Mapping[str, str]]) -> bool:
    """Whether the tag is among those of something."""
    return any(each["Key"] == KEY for each in tags)
