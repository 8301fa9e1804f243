"""Where an image is pushed to, and as whom."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from docker import auth
from docker.errors import DockerException

from scripts.publishing.errors import PublishError


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A user of a registry. They live in memory and in the headers of requests, never in a file of ours."""

    user: str
    password: str = field(repr=False)

    def for_engine(self) -> dict[str, str]:
        """As the engine's API takes them with a push."""
        return {"username": self.user, "password": self.password}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One repository of one registry."""

    registry: str
    """Host, with the port where it has one."""
    repository: str
    """Its path there, without a tag."""
    credentials: Credentials | None = None

    @property
    def name(self) -> str:
        """What to type before the colon or the @."""
        return f"{self.registry}/{self.repository}"

    def tagged(self, tag: str) -> str:
        """By a tag."""
        return f"{self.name}:{tag}"

    def by_digest(self, digest: str) -> str:
        """By content: this names the same image for ever."""
        return f"{self.name}@{digest}"


def parse_registry(text: str, repository: str) -> tuple[str, str]:
    """Host and repository of what a person types as REGISTRY, which may end in a path, as in `ghcr.io/team`.

    Raises:
        PublishError: it is no registry.
    """
    host, _, prefix = text.partition("/")
    if "://" in text or not host or (host != "localhost" and not set(".:") & set(host)) or text.endswith("/"):
        raise PublishError(f"'{text}' is no registry; write it as in REGISTRY=localhost:5000 or REGISTRY=ghcr.io/team")
    return host, f"{prefix}/{repository}" if prefix else repository


def is_loopback(registry: str) -> bool:
    """Whether a registry is on this machine; an engine then does without TLS."""
    host = registry.rpartition(":")[0] if registry.rpartition(":")[2].isdigit() else registry
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def logged_in(registry: str, environment: Mapping[str, str]) -> Credentials | None:
    """What `docker login` has kept for a registry, in its file or its credential helper; None where there is nothing.

    Raises:
        PublishError: there is something, but no password.
    """
    try:
        found = auth.resolve_authconfig(auth.load_config(credstore_env=dict(environment)), registry)
    except DockerException as error:
        text = f"What `docker login` has kept for '{registry}' cannot be read: {error}; log in anew"
        raise PublishError(text) from None
    if not found:
        return None
    user = found.get("username") or found.get("Username")
    password = found.get("password") or found.get("Password")
    if not user or not password:
        raise PublishError(
            f"What `docker login` has kept for '{registry}' is an identity token, which this cannot use; "
            "log in with a password or an access token"
        )
    return Credentials(user=user, password=password)
