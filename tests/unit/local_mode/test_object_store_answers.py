"""GET and HEAD of an object as WSGI: conditions, ranges, headers."""

from datetime import UTC, datetime

import pytest

from local_mode.object_store import answers
from local_mode.object_store.answers import Item
from local_mode.object_store.pieces import Folder

MODIFIED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
AT = "Fri, 02 Jan 2026 03:04:05 GMT"
BEFORE, AFTER = "Fri, 02 Jan 2026 03:04:04 GMT", "Fri, 02 Jan 2026 03:04:06 GMT"


@pytest.fixture
def ask(tmp_path):
    folder = Folder(tmp_path)
    pieces = [folder.write([text]) for text in (b"0123", b"456789")]
    item = Item(
        etag="tag", modified=MODIFIED, pieces=pieces, headers={"Content-Type": "x/y", "x-amz-meta-a": "b"},
        checksum={"x-amz-checksum-crc32": "AAAA"},
    )  # fmt: skip

    def answer(method="GET", query="", only=None, **headers):
        told = []
        environ = {"REQUEST_METHOD": method, "QUERY_STRING": query}
        environ |= {f"HTTP_{name}": value for name, value in headers.items()}
        body = answers.answer(environ, lambda *line: told.append(line), only or item, folder)
        data = b"".join(body)
        getattr(body, "close", lambda: None)()
        ((line, pairs),) = told
        return int(line[:3]), dict(pairs), data

    answer.item = item
    return answer


def test_whole_object_has_its_headers(ask):
    status, headers, data = ask()
    assert (status, data) == (200, b"0123456789")
    headers.pop("x-amz-request-id")
    assert headers == {"Content-Type": "x/y", "x-amz-meta-a": "b", "ETag": '"tag"', "Last-Modified": AT,
                       "Accept-Ranges": "bytes", "Content-Length": "10"}  # fmt: skip


def test_head_has_the_headers_of_get_and_no_bytes(ask):
    status, headers, data = ask("HEAD", RANGE="bytes=2-5")
    assert (status, data, headers["Content-Length"], headers["Content-Range"]) == (206, b"", "4", "bytes 2-5/10")


def test_checksum_is_told_of_the_whole_and_to_those_that_ask(ask):
    assert ask(X_AMZ_CHECKSUM_MODE="ENABLED")[1]["x-amz-checksum-crc32"] == "AAAA"
    assert "x-amz-checksum-crc32" not in ask(X_AMZ_CHECKSUM_MODE="ENABLED", RANGE="bytes=1-2")[1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"IF_MATCH": '"tag"'}, 200),
        ({"IF_MATCH": "tag"}, 200),
        ({"IF_MATCH": "*"}, 200),
        ({"IF_MATCH": '"a", "tag"'}, 200),
        ({"IF_MATCH": '"a"'}, 412),
        ({"IF_MATCH": '"tag"', "IF_UNMODIFIED_SINCE": BEFORE}, 200),
        ({"IF_UNMODIFIED_SINCE": BEFORE}, 412),
        ({"IF_UNMODIFIED_SINCE": AT}, 200),
        ({"IF_UNMODIFIED_SINCE": "yesterday"}, 200),
        ({"IF_NONE_MATCH": 'W/"tag"'}, 304),
        ({"IF_NONE_MATCH": '"a"', "IF_MODIFIED_SINCE": AFTER}, 200),
        ({"IF_MODIFIED_SINCE": AT}, 304),
        ({"IF_MODIFIED_SINCE": BEFORE}, 200),
        ({"IF_MATCH": '"a"', "RANGE": "bytes=99-"}, 412),
        ({"IF_RANGE": '"tag"', "RANGE": "bytes=1-2"}, 206),
        ({"IF_RANGE": '"a"', "RANGE": "bytes=1-2"}, 200),
    ],
)
def test_conditions_are_weighed_in_the_order_of_http(ask, headers, status):
    assert ask(**headers)[0] == status
    assert ask("HEAD", **headers)[0] == status


def test_not_modified_says_nothing_of_content(ask):
    _, headers, data = ask(IF_NONE_MATCH="tag")
    assert data == b""
    assert [name for name in headers if name.lower().startswith("content-")] == []
    assert headers["ETag"] == '"tag"'


@pytest.mark.parametrize(("part", "data"), [("1", b"0123"), ("2", b"456789")])
def test_parts_are_those_that_came(ask, part, data):
    status, headers, got = ask(query=f"partNumber={part}")
    assert (status, got, headers["x-amz-mp-parts-count"]) == (206, data, "2")


@pytest.mark.parametrize("query", ["partNumber=3", "partNumber=0", "partNumber=x"])
def test_part_that_is_not_there_is_refused(ask, query):
    status, _, data = ask(query=query)
    assert status == 416
    assert b"<Code>InvalidPartNumber</Code>" in data


@pytest.mark.parametrize("spans", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_range_that_has_no_byte_is_refused_with_the_size(ask, spans):
    status, headers, data = ask(RANGE=spans)
    assert status == 416
    assert b"<Code>InvalidRange</Code>" in data
    assert f"<RangeRequested>{spans}</RangeRequested><ActualObjectSize>10<".encode() in data
    assert headers["Content-Length"] == str(len(data))


def test_empty_object_has_no_range(ask, tmp_path):
    item = Item(etag="e", modified=MODIFIED, pieces=[], headers={}, checksum={})
    assert ask(only=item)[0] == 200
    assert ask(only=item, RANGE="bytes=0-")[0] == 416
    assert ask(only=item, RANGE="bytes=-5")[0] == 416


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("", True),
        ("x-id=GetObject&partNumber=1", True),
        ("response-content-type=a%2Fb&X-Amz-Signature=0", True),
        ("AWSAccessKeyId=a&Signature=b&Expires=1", True),
        ("versionId=null", False),
        ("tagging", False),
        ("acl=", False),
        ("uploadId=1", False),
    ],
)
def test_only_the_object_itself_is_answered_here(query, plain):
    assert answers.is_plain({"QUERY_STRING": query}) is plain
