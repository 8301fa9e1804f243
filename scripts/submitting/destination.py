"""Where a job is sent: AWS, or an endpoint on this machine, as boto3 is told by its environment."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from scripts.submitting.errors import SubmitError

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".aws")
_SETTINGS = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5})


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Clients that all lead to one place."""

    sagemaker: Any
    logs: Any
    s3: Any

    @property
    def region(self) -> str:
        """AWS's name of it."""
        return str(self.sagemaker.meta.region_name)

    @property
    def url(self) -> str:
        """Where requests for SageMaker go."""
        return str(self.sagemaker.meta.endpoint_url)

    @property
    def is_local(self) -> bool:
        """Whether that is none of AWS's own names, so that nothing is billed."""
        return not (urlsplit(self.url).hostname or "").endswith(_AWS)

    @property
    def described(self) -> str:
        """For a person who is about to send something there."""
        return f"the endpoint at {self.url}" if self.is_local else f"AWS, {self.region}"


def find() -> Destination:
    """The place that the environment names.

    Raises:
        SubmitError: It names no region, or a profile that there is not.
    """
    try:
        session = boto3.Session()
        clients = {name: session.client(name, config=_SETTINGS) for name in ("sagemaker", "logs", "s3")}
    except BotoCoreError as error:
        raise SubmitError(
            f"No way to AWS: {error}; set AWS_DEFAULT_REGION and credentials, or, for the endpoint of `make local-up`, "
            'type eval "$(.venv/bin/python -m local_mode env)"'
        ) from None
    return Destination(**clients)
