"""Checks that a request was signed with the endpoint's own key, by signing it again with botocore.

Signature Version 4; and Version 2 of URLs for S3, because those are what boto3 presigns by default in old regions.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials

from local_mode.api import hosts
from local_mode.api.wire import ApiError

ALGORITHM = "AWS4-HMAC-SHA256"
_SKEW = timedelta(minutes=15)
_LONGEST = timedelta(days=7)
_TIME = "%Y%m%dT%H%M%SZ"
_UNHASHED = ("UNSIGNED-PAYLOAD", "STREAMING-")


@dataclass(frozen=True, kw_only=True)
class AccessKey:
    """The key that `env` hands out."""

    id: str
    secret: str


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A request as it came over the wire."""

    method: str
    target: str
    """Path and query, as they were sent."""
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str:
        """The values of a header, joined as AWS joins them; empty without one."""
        return ",".join(value for key, value in self.headers if key.lower() == name)


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """What a request says of its own signature."""

    key: str
    date: str
    region: str
    service: str
    names: tuple[str, ...]
    signature: str
    time: str
    lives: timedelta | None
    """Of a presigned URL."""
    payload: str
    """Hash of the body as the request tells it; empty when it does not."""
    expires: str = ""
    """Seconds since 1970; of URLs of Version 2 alone."""


def service_of(request: Signed) -> str:
    """The service a request claims to be for; empty when it does not say."""
    try:
        return _claim(request).service
    except ApiError:
        return ""


def admit(request: Signed, key: AccessKey, *, now: datetime) -> None:
    """Refuse what need not be read to the end: a request that is not signed, with another key, or at another time.

    Raises:
        ApiError: it is one of these.
    """
    claim = _claim(request)
    if not hmac.compare_digest(claim.key.encode(), key.id.encode()):
        raise ApiError("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
    _check_time(claim, now)


def verify(request: Signed, key: AccessKey, *, body_sha256: str) -> None:
    """See that a request that was admitted is the one that was signed.

    Raises:
        ApiError: it is another one.
    """
    claim = _claim(request)
    payload = claim.payload or body_sha256
    if not payload.startswith(_UNHASHED) and not hmac.compare_digest(payload.encode(), body_sha256.encode()):
        raise ApiError("InvalidSignatureException", "The body is not the one that was signed.", 403)
    if not hmac.compare_digest(_signature(request, claim, key, payload).encode(), claim.signature.encode()):
        message = "The request signature we calculated does not match the signature you provided."
        raise ApiError("InvalidSignatureException", message, 403)


def _claim(request: Signed) -> _Claim:
    header = request.header("authorization")
    query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
    try:
        if header.startswith(f"{ALGORITHM} "):
            return _from_header(request, header)
        if query.get("X-Amz-Algorithm") == ALGORITHM:
            return _from_query(query)
        if "AWSAccessKeyId" in query:
            return _from_old_query(query)
    except (KeyError, ValueError):
        raise ApiError(
            "IncompleteSignatureException", "The signature is not one of Version 4, nor a URL's of Version 2.", 403
        ) from None
    raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)


def _from_header(request: Signed, header: str) -> _Claim:
    parts = (part.strip() for part in header.removeprefix(ALGORITHM).split(","))
    fields = dict(part.split("=", 1) for part in parts)
    time = request.header("x-amz-date")
    payload = request.header("x-amz-content-sha256")
    return _make(fields["Credential"], fields["SignedHeaders"], fields["Signature"], time, None, payload)


def _from_query(query: Mapping[str, str]) -> _Claim:
    lives = timedelta(seconds=int(query["X-Amz-Expires"]))
    scope, names, signature = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"], query["X-Amz-Signature"]
    return _make(scope, names, signature, query["X-Amz-Date"], lives, "UNSIGNED-PAYLOAD")


def _from_old_query(query: Mapping[str, str]) -> _Claim:
    return _Claim(key=query["AWSAccessKeyId"], date="", region="", service="s3", names=(), time="", lives=None,
                  signature=query["Signature"], payload="UNSIGNED-PAYLOAD", expires=query["Expires"])  # fmt: skip


def _make(scope: str, names: str, signature: str, time: str, lives: timedelta | None, payload: str) -> _Claim:
    key, date, region, service, end = scope.split("/")
    signed = tuple(names.split(";"))
    # A signature that leaves out the host would hold for any; a date elsewhere, for any day.
    if end != "aws4_request" or "host" not in signed or not time.startswith(date) or not date:
        raise ValueError(scope)
    return _Claim(key=key, date=date, region=region, service=service, names=signed, signature=signature,
                  time=time, lives=lives, payload=payload)  # fmt: skip


def _check_time(claim: _Claim, now: datetime) -> None:
    if claim.expires:
        if not (claim.expires.isdigit() and now.timestamp() <= int(claim.expires) <= (now + _LONGEST).timestamp()):
            raise ApiError("AccessDenied", "Request has expired", 403)
        return
    try:
        signed = datetime.strptime(claim.time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise ApiError("IncompleteSignatureException", f"{claim.time!r} is no time of a signature.", 403) from None
    end = signed + (_SKEW if claim.lives is None else min(claim.lives, _LONGEST))
    if not signed - _SKEW <= now <= end:
        raise ApiError("InvalidSignatureException", f"Signature expired: {claim.time} is too far from now.", 403)


def _signature(request: Signed, claim: _Claim, key: AccessKey, payload: str) -> str:
    if claim.expires:
        return _old_signature(request, claim, key)
    base = _S3 if claim.service == "s3" else _Other
    auth = base(Credentials(key.id, key.secret), claim.service, claim.region)
    auth.names = claim.names
    auth.payload_hash = payload
    again = AWSRequest(method=request.method, url=f"http://{request.header('host')}{_without_signature(request)}")
    for name in claim.names:
        again.headers[name] = request.header(name)
    again.context["timestamp"] = claim.time
    canonical = auth.canonical_request(again)
    return str(auth.signature(auth.string_to_sign(again, canonical), again))


def _old_signature(request: Signed, claim: _Claim, key: AccessKey) -> str:
    auth = _Old(Credentials(key.id, key.secret), claim.expires)
    headers = HTTPHeaders()
    for name, value in request.headers:
        headers.add_header(name, value)
    bucket = hosts.bucket(request.header("host"))
    url = urlsplit(f"http://localhost{request.target}")
    return str(auth.get_signature(request.method, url, headers, auth_path=f"/{bucket}{url.path}" if bucket else None))


def _without_signature(request: Signed) -> str:
    path, _, query = request.target.partition("?")
    kept = [pair for pair in query.split("&") if pair and not pair.startswith("X-Amz-Signature=")]
    # A pair without a value counts as one with an empty one.
    return f"{path}?{'&'.join(pair if '=' in pair else f'{pair}=' for pair in kept)}" if kept else path


class _Recomputed:
    """The headers and the payload that a client says it signed, in place of those botocore would choose."""

    names: Iterable[str] = ()
    payload_hash = ""

    def headers_to_sign(self, request: Any) -> Any:
        """All of them: only the signed ones were put there."""
        return request.headers

    def payload(self, request: Any) -> str:
        """The hash that was signed; `verify` has compared it with the body."""
        return self.payload_hash


class _Other(_Recomputed, SigV4Auth):  # type: ignore[misc]  # botocore has no types
    pass


class _S3(_Recomputed, S3SigV4Auth):  # type: ignore[misc]
    pass


class _Old(HmacV1QueryAuth):  # type: ignore[misc]
    def _get_date(self) -> str:
        return str(self._expires)
