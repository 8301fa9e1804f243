"""GET and HEAD of an object: conditions, ranges and headers as S3 answers them, the bytes from disk."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import parse_qsl
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIEnvironment
from xml.sax.saxutils import escape

from local_mode.object_store.pieces import Folder, Piece, Reader

_OVERRIDES = {
    f"response-{name.lower()}": name
    for name in ("Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition",
                 "Content-Encoding")
}  # fmt: skip
_RANGE = re.compile(r"\s*bytes\s*=\s*(?=\d|-\d)(?P<first>\d*)-(?P<last>\d*)\s*", re.ASCII)
_OF_VERSION_2 = {"awsaccesskeyid", "signature", "expires"}
"""What a URL has that was signed by the old Signature Version 2; boto3 still signs so by itself."""
_PLAIN = {"x-id", "partnumber", *_OVERRIDES}
_REASONS = {200: "OK", 206: "Partial Content", 304: "Not Modified", 412: "Precondition Failed",
            416: "Requested Range Not Satisfiable"}  # fmt: skip
Headers = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Item:
    """An object as it is answered."""

    etag: str
    """Without quotes."""
    modified: datetime
    pieces: Sequence[Piece]
    headers: Mapping[str, str]
    """All that goes with it but for its length, time and tag."""
    checksum: Mapping[str, str]
    """Headers for those that ask for the checksum."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(piece.size for piece in self.pieces)


@dataclass(frozen=True, kw_only=True)
class _Span:
    start: int
    length: int


@dataclass(frozen=True)
class _Refusal:
    status: int
    inner: str = ""


def is_plain(environ: WSGIEnvironment) -> bool:
    """Whether a request is for an object itself, in its current version, and not for something about it."""
    return words(environ) <= _PLAIN


def words(environ: WSGIEnvironment) -> set[str]:
    """The names in a request's query, in lower case, but for those of a signature."""
    pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    names = {name.lower() for name, _ in pairs} - _OF_VERSION_2
    return {name for name in names if not name.startswith("x-amz-")}


def answer(environ: WSGIEnvironment, start_response: StartResponse, item: Item, folder: Folder) -> Iterable[bytes]:
    """Answer a plain GET or HEAD. What is returned has to be closed, as WSGI has it."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    headers = _headers(environ, item, query)
    span = _conditions(environ, item) or _span(environ, item, query)
    if isinstance(span, _Refusal):
        return _refuse(environ, start_response, span, headers)
    status = 200
    if span is None:
        span = _Span(start=0, length=item.size)
    else:
        status = 206
        last = span.start + span.length - 1
        headers.append(("Content-Range", f"bytes {span.start}-{last}/{item.size}"))
        if "partNumber" in query and len(item.pieces) > 1:
            headers.append(("x-amz-mp-parts-count", str(len(item.pieces))))
    if environ.get("HTTP_X_AMZ_CHECKSUM_MODE", "").upper() == "ENABLED" and span.length == item.size:
        headers += item.checksum.items()
    headers.append(("Content-Length", str(span.length)))
    start_response(f"{status} {_REASONS[status]}", headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    return Reader(folder, item.pieces, span.start, span.length)


def refuse(code: str, message: str, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request that cannot be taken as it is."""
    text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    start_response("400 Bad Request", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _headers(environ: WSGIEnvironment, item: Item, query: Mapping[str, str]) -> Headers:
    told = {_OVERRIDES[name]: value for name, value in query.items() if name in _OVERRIDES}
    instead = {name.lower() for name in told}
    kept = [(name, value) for name, value in item.headers.items() if name.lower() not in instead]
    return [
        *kept,
        *told.items(),
        ("ETag", f'"{item.etag}"'),
        ("Last-Modified", format_datetime(item.modified, usegmt=True)),
        ("Accept-Ranges", "bytes"),
        ("x-amz-request-id", uuid4().hex[:16].upper()),
    ]


def _conditions(environ: WSGIEnvironment, item: Item) -> _Refusal | None:
    """What the headers If-* make of the request; a tag decides before a time does."""
    modified = item.modified.replace(microsecond=0)
    match, unmodified = environ.get("HTTP_IF_MATCH"), _time(environ.get("HTTP_IF_UNMODIFIED_SINCE"))
    if match is not None:
        if not _names(match, item.etag):
            return _failed("If-Match")
    elif unmodified is not None and modified > unmodified:
        return _failed("If-Unmodified-Since")
    none, since = environ.get("HTTP_IF_NONE_MATCH"), _time(environ.get("HTTP_IF_MODIFIED_SINCE"))
    if none is not None:
        return _Refusal(304) if _names(none, item.etag) else None
    return _Refusal(304) if since is not None and modified <= since else None


def _failed(condition: str) -> _Refusal:
    text = "At least one of the pre-conditions you specified did not hold"
    inner = f"<Code>PreconditionFailed</Code><Message>{text}</Message><Condition>{condition}</Condition>"
    return _Refusal(412, inner)


def _names(header: str, etag: str) -> bool:
    """Whether a list of tags has this one."""
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or etag in tags


def _time(header: str | None) -> datetime | None:
    """A header's time; None for none, and for what is none."""
    try:
        found = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _span(environ: WSGIEnvironment, item: Item, query: Mapping[str, str]) -> _Span | _Refusal | None:
    """The part that was asked for; None for the whole."""
    number = query.get("partNumber", "")
    if number:
        return _part(number, item)
    asked, tag = environ.get("HTTP_RANGE", ""), environ.get("HTTP_IF_RANGE")
    found = _RANGE.fullmatch(asked)
    # What S3 cannot read it takes for no range at all; several ranges, too.
    if found is None or (tag is not None and not _names(tag, item.etag)):
        return None
    first, last = found["first"], found["last"]
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, item.size - int(last))
    end = min(int(last) if first and last else item.size, item.size - 1)
    if end < start or (not first and not int(last)):
        inner = (
            "<Code>InvalidRange</Code><Message>The requested range is not satisfiable</Message>"
            f"<RangeRequested>{escape(asked)}</RangeRequested><ActualObjectSize>{item.size}</ActualObjectSize>"
        )
        return _Refusal(416, inner)
    return _Span(start=start, length=end - start + 1)


def _part(number: str, item: Item) -> _Span | _Refusal:
    if not number.isdecimal() or not 1 <= int(number) <= len(item.pieces):
        inner = "<Code>InvalidPartNumber</Code><Message>The requested partnumber is not satisfiable</Message>"
        return _Refusal(416, inner)
    before = item.pieces[: int(number) - 1]
    return _Span(start=sum(piece.size for piece in before), length=item.pieces[int(number) - 1].size)


def _refuse(
    environ: WSGIEnvironment, start_response: StartResponse, refusal: _Refusal, headers: Headers
) -> Iterable[bytes]:
    line = f"{refusal.status} {_REASONS[refusal.status]}"
    if refusal.status == 304:
        start_response(line, [(name, value) for name, value in headers if not name.lower().startswith("content-")])
        return []
    identity = next(value for name, value in headers if name == "x-amz-request-id")
    text = f"<Error>{refusal.inner}<RequestId>{identity}</RequestId></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    kept = [("Content-Type", "application/xml"), ("x-amz-request-id", identity)]
    if environ["REQUEST_METHOD"] == "HEAD":
        start_response(line, [*kept, ("Content-Length", "0")])
        return []
    start_response(line, [*kept, ("Content-Length", str(len(body)))])
    return [body]
