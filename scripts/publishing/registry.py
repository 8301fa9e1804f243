"""What a registry has, by its own HTTP API: the engine uploads, and does not tell what is there already."""

import hashlib
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.refusal import refusal
from scripts.publishing.target import Target, is_loopback

CALL_SECONDS = 30
_MANIFEST_BYTES = 4 << 20
"""What registries take at most."""
_ACCEPTED = ", ".join((
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
))  # fmt: skip
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_UNCHECKED = ssl.create_default_context()
_UNCHECKED.check_hostname, _UNCHECKED.verify_mode = False, ssl.CERT_NONE


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What lies under a tag."""

    digest: str
    """Names it for ever."""
    config: str
    """Digest of the image's configuration, which is the image's id in an engine; empty for a list of images."""

    def is_of(self, image_id: str) -> bool:
        """Whether it is of an image that an engine knows by this id."""
        return image_id in (self.config, self.digest)  # the latter in an engine with containerd's own store


@dataclass(kw_only=True)
class Registry:
    """One repository of a registry, as its HTTP API shows it."""

    target: Target
    insecure: bool = False
    """As the engine has it: a certificate that nobody vouches for is good enough, and so is plain HTTP."""
    _base: str = field(default="", init=False)
    """Scheme and host, once something has answered there."""
    _bearer: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        # As an engine does: what is on this machine is never asked through a proxy.
        proxies = urllib.request.ProxyHandler({} if is_loopback(self.target.registry) else None)
        secure = urllib.request.HTTPSHandler(context=_UNCHECKED if self.insecure else None)
        self._opener = urllib.request.build_opener(proxies, secure)

    def manifest(self, reference: str) -> Manifest | None:
        """What lies under a tag or a digest; None where nothing does.

        Raises:
            TransientError: the registry does not answer, or fails.
            PublishError: it refuses.
        """
        url = f"/v2/{self.target.repository}/manifests/{reference}"
        try:
            body = self._get(url)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise refusal(self.target, error.code, _said(error)) from None
        document = json.loads(body)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return Manifest(digest=digest, config=document.get("config", {}).get("digest", ""))

    def _get(self, path: str) -> bytes:
        """The body of an answer.

        Raises:
            urllib.error.HTTPError: the answer is a refusal.
        """
        try:
            return self._open(path, self._authorization())
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or self._bearer or not challenge.lower().startswith("bearer "):
                raise
            error.close()
        self._bearer = self._token(dict(_PARAMETER.findall(challenge)))
        return self._open(path, self._authorization())

    def _authorization(self) -> str:
        return f"Bearer {self._bearer}" if self._bearer else self._basic()

    def _basic(self) -> str:
        known = self.target.credentials
        return f"Basic {b64encode(f'{known.user}:{known.password}'.encode()).decode()}" if known else ""

    def _open(self, path: str, authorization: str) -> bytes:
        bases = [self._base] if self._base else [f"https://{self.target.registry}"]
        if self.insecure and not self._base:
            bases.append(f"http://{self.target.registry}")
        for base in bases:
            request = urllib.request.Request(base + path, headers={"Accept": _ACCEPTED})  # noqa: S310 - http(s) by now
            if authorization:
                request.add_unredirected_header("Authorization", authorization)
            try:
                body = self._read(request)
            except urllib.error.HTTPError:
                self._base = base
                raise
            except (OSError, http.client.HTTPException) as error:
                if base == bases[-1]:
                    raise TransientError(
                        f"The registry '{self.target.registry}' does not answer: {_why(error)}"
                    ) from None
            else:
                self._base = base
                return body
        raise AssertionError("there is a base")

    def _read(self, request: urllib.request.Request) -> bytes:
        with self._opener.open(request, timeout=CALL_SECONDS) as answer:
            body: bytes = answer.read(_MANIFEST_BYTES)
            return body

    def _token(self, challenge: dict[str, str]) -> str:
        """A token from whoever the registry trusts to give them."""
        scope = f"repository:{self.target.repository}:pull"
        asked = urlencode({"service": challenge.get("service", ""), "scope": challenge.get("scope", scope)})
        realm = challenge.get("realm", "")
        if not realm.startswith(("https://", "http://") if self.insecure else "https://"):
            raise PublishError(f"The registry '{self.target.registry}' gives out its tokens at '{realm}', not by HTTPS")
        request = urllib.request.Request(f"{realm}?{asked}")  # noqa: S310 - seen to above
        if basic := self._basic():
            request.add_unredirected_header("Authorization", basic)
        try:
            answer: dict[str, Any] = json.loads(self._read(request))
        except urllib.error.HTTPError as error:
            with error:
                raise refusal(self.target, error.code, _said(error)) from None
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"'{realm}' gives no token: {_why(error)}") from None
        return str(answer.get("token") or answer.get("access_token") or "")


def _said(error: urllib.error.HTTPError) -> str:
    """The registry's own words."""
    try:
        first = json.loads(error.read(1 << 16))["errors"][0]
        return f"{first.get('code', '')} {first.get('message', '')}".strip()
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return error.reason if isinstance(error.reason, str) else ""


def _why(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
