"""What a job may ask of S3 and STS with its own credentials: whatever is not allowed here is denied."""

import re
from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import parse_qs, parse_qsl, unquote, urlparse
from wsgiref.types import WSGIEnvironment
from xml.etree import ElementTree

from local_mode.api.wire import ApiError
from local_mode.jobs.door import Scope

# A bucket must stand there in plain letters: whoever reads the path next must not see another one.
_PATH = re.compile(r"/(?P<bucket>[A-Za-z0-9._-]+)(?:/(?P<key>[^#]*))?", re.DOTALL)
_BODY_BYTES = 2 << 20
_OF_OBJECT = {"partNumber", "versionId", "uploadId", "max-parts", "part-number-marker", "tagging", "attributes"}
_OF_LIST = {"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "marker",
            "encoding-type", "fetch-owner"}  # fmt: skip
_WRITING: dict[str, tuple[set[str], ...]] = {
    "PUT": (set(), {"partNumber", "uploadId"}, {"tagging"}),
    "POST": ({"uploads"}, {"uploadId"}),
    "DELETE": (set(), {"uploadId"}, {"tagging"}),
}


class _Body(Protocol):
    size: int

    def read(self) -> bytes: ...

    def rewind(self) -> None: ...


def check(service: str, environ: WSGIEnvironment, body: _Body, scope: Scope) -> None:
    """Let a request pass, or not.

    Raises:
        ApiError: it is not allowed.
    """
    allowed = {"s3": _s3, "sts": _sts}.get(service)
    if allowed is None or not allowed(environ, body, scope):
        target = environ.get("REQUEST_URI") or environ["RAW_URI"]
        text = f"The job's own credentials do not allow {environ['REQUEST_METHOD']} {target.partition('?')[0]}; they " \
               "reach what its request names in S3, nothing else."  # fmt: skip
        raise ApiError("AccessDenied", text, 403)


def _sts(environ: WSGIEnvironment, body: _Body, scope: Scope) -> bool:
    """Who am I, and no more."""
    if environ["REQUEST_METHOD"] != "POST" or environ.get("QUERY_STRING") or body.size > _BODY_BYTES:
        return False
    if not _kind(environ).startswith("application/x-www-form-urlencoded"):  # what another reader finds in it is unknown
        return False
    return parse_qs(_whole(body).decode("utf-8", "replace")).get("Action") == ["GetCallerIdentity"]


def _s3(environ: WSGIEnvironment, body: _Body, scope: Scope) -> bool:
    path, _, query = (environ.get("REQUEST_URI") or environ["RAW_URI"]).partition("?")
    found = _PATH.fullmatch(path)
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if not _is_plain(pair[0])]
    values = dict(pairs)
    method = environ["REQUEST_METHOD"]
    if found is None or "#" in query or len(values) != len(pairs) or (method != "PUT" and _is_form(environ)):
        return False
    bucket, key = found["bucket"], unquote(found["key"] or "")
    if not key:
        return _of_bucket(method, bucket, values, lambda: _removed(body), scope)
    if method in ("GET", "HEAD"):
        return values.keys() <= _OF_OBJECT and scope.may_read(bucket, key)
    named = set(values)
    if named == {"tagging"} and _is_form(environ):
        return False
    return named in _WRITING.get(method, ()) and scope.may_write(bucket, key) and _may_copy(environ, scope)


def _of_bucket(
    method: str, bucket: str, values: dict[str, str], removed: Callable[[], Iterable[str] | None], scope: Scope
) -> bool:
    named = set(values)
    if method == "GET" and named <= _OF_LIST:
        return scope.may_read(bucket, values.get("prefix", ""))
    if (method, named) in (("HEAD", set()), ("GET", {"location"})):
        return scope.names(bucket)
    if (method, named) == ("POST", {"delete"}):
        keys = removed()
        return keys is not None and all(scope.may_write(bucket, key) for key in keys)
    return False


def _removed(body: _Body) -> list[str] | None:
    """The keys that a request would remove; None when it is no such request."""
    text = _whole(body) if body.size <= _BODY_BYTES else b""
    if b"<!" in text:  # no entities, no sections that one reader takes for text and another does not
        return None
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # as checked above
    except ElementTree.ParseError:
        return None
    return [item.text or "" for item in root.iter() if item.tag.rpartition("}")[2] == "Key"]


def _may_copy(environ: WSGIEnvironment, scope: Scope) -> bool:
    """Whether the source of a copy, if it is one, may be read; taken apart as the one who copies does."""
    source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
    if source is None:
        return True
    bucket, _, key = unquote(urlparse(source).path).lstrip("/").partition("/")
    return scope.may_read(bucket, key)


def _is_plain(name: str) -> bool:
    """Whether a word of a query changes nothing about what is asked."""
    return name.lower().startswith(("x-amz-", "response-")) or name == "x-id"


def _is_form(environ: WSGIEnvironment) -> bool:
    """Whether the body would be read as a form, whose fields take the place of the query's."""
    return _kind(environ).startswith(("multipart/", "application/x-www-form-urlencoded"))


def _kind(environ: WSGIEnvironment) -> str:
    return str(environ.get("CONTENT_TYPE", "")).strip().lower()


def _whole(body: _Body) -> bytes:
    data = body.read()
    body.rewind()
    return data
