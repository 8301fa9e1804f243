"""How an S3 is reached. Standard library only, the feeder uses it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """Where an S3 is, and a key to it."""

    endpoint: str | None
    """A URL; None is AWS's own."""
    region: str
    access_key: str
    secret: str
    session_token: str | None = None

    def environment(self) -> dict[str, str]:
        """It as AWS's own variables, for a process that `from_environment` reads it in."""
        values = {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_SESSION_TOKEN": self.session_token,
        }
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "S3Access | None":
        """What `environment` wrote; None where there is no key."""
        key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            return None
        return cls(
            endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL"),
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            access_key=key,
            secret=secret,
            session_token=environ.get("AWS_SESSION_TOKEN"),
        )
