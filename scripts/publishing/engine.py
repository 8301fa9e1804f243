"""The Docker engine as a push needs it: one image, its names, and its upload to a registry."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import docker
import requests
import urllib3

from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.refusal import explain
from scripts.publishing.target import Target, is_loopback

SILENT_SECONDS = 300
"""A call that says nothing for so long is given up; while it uploads, an engine tells of it several times a second."""
_LABEL = "org.opencontainers.image."
_NOT_OF_A_TAG = re.compile(r"[^\w.-]")
_NONE_ANSWERS = (OSError, requests.RequestException, urllib3.exceptions.HTTPError)


@dataclass(frozen=True, kw_only=True)
class LocalImage:
    """An image in this machine's engine, as it was labelled when it was built."""

    name: str
    id: str
    """`sha256:` and 64 digits."""
    version: str
    revision: str
    """The commit; with `-dirty` where the tree was another, `unknown` outside git."""

    @property
    def is_of_a_commit(self) -> bool:
        """Whether the commit says all that is in it."""
        return not self.revision.endswith("-dirty") and self.revision != "unknown"

    @property
    def tag(self) -> str:
        """Names it in a registry: version and commit, and its content too where they do not tell that."""
        commit, _, rest = self.revision.partition("-")
        parts = [self.version, commit[:12], *([rest] if rest else [])]
        if not self.is_of_a_commit:
            parts.append(self.id.removeprefix("sha256:")[:12])
        return _NOT_OF_A_TAG.sub("-", "-".join(parts))


@dataclass(frozen=True, kw_only=True)
class Event:
    """What the engine says of one layer that it uploads."""

    layer: str
    status: str
    """In the engine's words, as in: Pushing."""
    done: int = 0
    """Bytes, unpacked."""
    total: int = 0
    """The same; 0 where it is not known."""


class Engine:
    """An engine that answers; it is no more than its API's client, and holds no credentials."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, name: str, *, how: str) -> LocalImage:
        """The image that has a name.

        Raises:
            PublishError: there is none, with `how` to get it, or it does not say what it was built from.
        """
        try:
            found = self._client.images.get(name)
        except docker.errors.ImageNotFound as error:
            _close(error)
            raise PublishError(f"The engine has no image '{name}'; run: {how}") from None
        labels = found.labels
        version, revision = labels.get(f"{_LABEL}version"), labels.get(f"{_LABEL}revision")
        if not version or not revision:
            raise PublishError(f"The image '{name}' does not say of which version and commit it is; run: {how}")
        return LocalImage(name=name, id=found.id, version=version, revision=revision)

    def holds(self, name: str) -> bool:
        """Whether it has an image by this name, or by this digest of a repository."""
        return self._id(name) is not None

    def trusts_blindly(self, registry: str) -> bool:
        """Whether it takes a registry without a certificate, as it takes what is on its own machine."""
        if is_loopback(registry):
            return True
        told: Mapping[str, Any] = self._client.info().get("RegistryConfig") or {}
        known = (told.get("IndexConfigs") or {}).get(registry)
        if known is not None:
            return not known.get("Secure", True)
        try:
            address = ip_address(registry.partition(":")[0])
        except ValueError:
            return False
        return any(address in ip_network(each, strict=False) for each in told.get("InsecureRegistryCIDRs") or ())

    @contextmanager
    def named(self, image: LocalImage, target: Target, tag: str) -> Iterator[None]:
        """While the image has the name it is pushed by; it keeps that only if what is done meanwhile goes well."""
        name = target.tagged(tag)
        before = self._id(name)
        self._client.api.tag(image.id, target.name, tag)
        try:
            yield
        except BaseException:
            if before is None:
                self._client.api.remove_image(name, noprune=True)
            else:
                self._client.api.tag(before, target.name, tag)
            raise

    def push(self, target: Target, tag: str, watch: Callable[[Event], None]) -> str:
        """Upload what the registry lacks of an image, then its tag; the digest.

        Raises:
            TransientError: it may go well next time, and then goes on after the layers that have arrived.
            PublishError: it will not.
        """
        digest = ""
        tried: set[str] = set()
        """Layers that did not arrive at once, and have not yet."""
        auth = target.credentials.for_engine() if target.credentials else {}
        with _calls(target, tag):
            for said in self._client.api.push(target.name, tag=tag, stream=True, decode=True, auth_config=auth):
                if "error" in said:
                    error = explain(target, tag, str(said["error"]))
                    # The engine brings a layer five times, over 50 s: that is patience enough.
                    raise PublishError(f"{error}. The engine has tried five times") if tried else error
                digest = (said.get("aux") or {}).get("Digest", digest)
                if said.get("id") and said.get("status"):
                    detail = said.get("progressDetail") or {}
                    done, total = detail.get("current", 0), detail.get("total", 0)
                    if said["status"].startswith("Retrying"):
                        tried.add(said["id"])
                    elif said["status"] == "Pushed":
                        tried.discard(said["id"])
                    watch(Event(layer=said["id"], status=said["status"], done=done, total=total))
        if not digest:
            raise TransientError(f"The Docker engine ended the upload of '{target.tagged(tag)}' without saying how")
        return digest

    def learn(self, target: Target, digest: str) -> None:
        """Have it know an image that it has by a digest of a registry, too; no layer is brought.

        Raises:
            TransientError: it may go well next time.
            PublishError: it will not.
        """
        auth = target.credentials.for_engine() if target.credentials else {}
        with _calls(target, digest):
            for said in self._client.api.pull(target.name, tag=digest, stream=True, decode=True, auth_config=auth):
                if "error" in said:
                    raise explain(target, digest, str(said["error"]))

    def _id(self, name: str) -> str | None:
        try:
            return str(self._client.images.get(name).id)
        except docker.errors.ImageNotFound as error:
            _close(error)
            return None


@contextmanager
def _calls(target: Target, tag: str) -> Iterator[None]:
    """Around a call to the engine that has it call a registry."""
    try:
        yield
    except docker.errors.APIError as error:
        _close(error)
        raise explain(target, tag, str(error.explanation or error)) from None
    except _NONE_ANSWERS as error:
        raise TransientError(f"The Docker engine broke off: {error}; its log tells more") from None


def _close(error: docker.errors.APIError) -> None:
    if error.response is not None:
        error.response.close()  # the SDK leaves it open
