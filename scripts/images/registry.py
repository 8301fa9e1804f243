"""Which image a registry has under a tag, by its HTTP API, as anybody may ask. Standard library only."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message

from scripts.images.entry import ImageError

SECONDS = 20
KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
HUB = "registry-1.docker.io"
"""Where a name without a registry leads."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A name behind FROM, taken apart as Docker does."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, name: str) -> "Reference":
        """`debian:trixie-slim` and `localhost:5000/team/base:1` alike."""
        first, slash, rest = name.partition("/")
        elsewhere = bool(slash) and ("." in first or ":" in first or first == "localhost")
        path = rest if elsewhere else name
        repository, colon, tag = path.partition(":")
        if not elsewhere and "/" not in repository:
            repository = f"library/{repository}"
        return cls(registry=first if elsewhere else HUB, repository=repository, tag=tag if colon else "latest")

    @property
    def address(self) -> str:
        """Of the manifest. A registry on this machine speaks plain HTTP, as it does to Docker."""
        host = self.registry.partition(":")[0]
        scheme = "http" if host in ("localhost", "127.0.0.1") else "https"
        return f"{scheme}://{self.registry}/v2/{self.repository}/manifests/{self.tag}"


def find_digest(name: str) -> str:
    """The digest that a registry has for a name now: of the list of platforms, where there is one.

    Raises:
        ImageError: The registry is out of reach, or has no such image.
    """
    address = Reference.parse(name).address
    try:
        headers = _ask(address)
    except urllib.error.HTTPError as error:
        said = f"{error.code} {error.reason} at {address}"
        raise ImageError(f"The registry has no '{name}' for us ({said}); see whether the name is right") from error
    except OSError as error:
        said = f"{getattr(error, 'reason', error)} at {address}"
        remedy = "type this where one is, behind HTTPS_PROXY if need be"
        raise ImageError(f"No registry is in reach for '{name}' ({said}); {remedy}") from error
    digest = headers.get("Docker-Content-Digest", "")
    if re.fullmatch(r"sha256:[0-9a-f]{64}", digest) is None:
        raise ImageError(f"The registry tells no digest of '{name}' but '{digest}' at {address}; ask another registry")
    return digest


def _ask(address: str) -> Message:
    try:
        return _head(address)
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        if error.code != 401 or not challenge.startswith("Bearer "):
            raise
        return _head(address, _anonymous_token(challenge))


def _head(address: str, token: str = "") -> Message:
    request = urllib.request.Request(address, method="HEAD", headers={"Accept": ", ".join(KINDS)})  # noqa: S310 - http(s) alone
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        headers: Message = answer.headers
        return headers


def _anonymous_token(challenge: str) -> str:
    """What a registry gives to anybody who asks, and wants to see all the same."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = told.pop("realm", "")
    if urllib.parse.urlsplit(realm).scheme not in ("http", "https"):
        raise ImageError(f"The registry wants a token from '{realm}', which is no address; ask another registry")
    with urllib.request.urlopen(f"{realm}?{urllib.parse.urlencode(told)}", timeout=SECONDS) as answer:  # noqa: S310
        given = json.load(answer)
    token: str = given.get("token") or given.get("access_token") or ""
    return token
