"""What is taken from an upload's body: AWS's chunks, checksums, MD5."""

import base64
import hashlib
import io
import zlib

import pytest

from local_mode.object_store import checksums
from local_mode.object_store.chunked import Chunks, MalformedError
from local_mode.object_store.objects import ObjectStore
from local_mode.object_store.uploads import UploadError, take


@pytest.fixture
def store(tmp_path):
    made = ObjectStore(tmp_path)
    yield made
    made.close()


def asked(store, data, **headers):
    body = store.body(tagged=True)
    body.write(data)
    body.rewind()
    return {"wsgi.input": body, "CONTENT_LENGTH": str(len(data)), **headers}


def kept(store, upload):
    return (store.folder.path / upload.piece.name).read_bytes()


def crc32(data):
    return checksums.text(zlib.crc32(data).to_bytes(4, "big"))


SIGNED = (
    b"5;chunk-signature=0a\r\nhello\r\n6;chunk-signature=0b\r\n world\r\n0;chunk-signature=0c\r\n"
    b"x-amz-checksum-crc32:%s\r\nx-amz-trailer-signature:0d\r\n\r\n" % crc32(b"hello world").encode()
)


def test_plain_body_becomes_a_piece_and_moto_finds_none(store):
    environ = asked(store, b"data", HTTP_CONTENT_MD5=base64.b64encode(hashlib.md5(b"data").digest()).decode())
    upload = take(environ, store.folder)

    assert (kept(store, upload), upload.etag) == (b"data", hashlib.md5(b"data").hexdigest())
    assert (environ["wsgi.input"].read(), environ["CONTENT_LENGTH"]) == (b"", "0")
    assert "HTTP_CONTENT_MD5" not in environ
    assert upload.checksum == upload.algorithm == ""


@pytest.mark.parametrize("coding", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", ""])
def test_chunks_are_undone_and_their_trailer_is_the_checksum(store, coding):
    said = {"HTTP_X_AMZ_CONTENT_SHA256": coding} if coding else {"HTTP_CONTENT_ENCODING": "gzip, aws-chunked"}
    environ = asked(
        store, SIGNED, HTTP_X_AMZ_TRAILER="x-amz-checksum-crc32", HTTP_X_AMZ_DECODED_CONTENT_LENGTH="11", **said
    )
    upload = take(environ, store.folder)

    assert (kept(store, upload), upload.etag) == (b"hello world", hashlib.md5(b"hello world").hexdigest())
    assert (upload.algorithm, upload.checksum) == ("CRC32", crc32(b"hello world"))
    assert environ["HTTP_X_AMZ_CHECKSUM_CRC32"] == upload.checksum
    assert not environ["HTTP_X_AMZ_CONTENT_SHA256"].startswith("STREAMING")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"HTTP_CONTENT_MD5": "AAAA"}, "BadDigest"),
        ({"HTTP_X_AMZ_CHECKSUM_SHA256": "AAAA"}, "BadDigest"),
        ({"HTTP_X_AMZ_CHECKSUM_CRC32": crc32(b"other")}, "BadDigest"),
    ],
)
def test_body_that_is_another_is_refused(store, said, code):
    environ = asked(store, b"data", **said)
    with pytest.raises(UploadError, match="did not match") as refused:
        take(environ, store.folder)
    assert refused.value.code == code
    environ["wsgi.input"].close()
    assert list(store.folder.path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "length", "why"),
    [
        (SIGNED[:24], "11", "ended 3 bytes before the end of a chunk"),
        (b"zz\r\n", "1", "is not the size of a chunk"),
        (b"-5\r\nhello", "1", "is not the size of a chunk"),
        (b"2\r\nhello\r\n0\r\n\r\n", "2", "longer than it says"),
        (SIGNED, "12", "has 11 bytes, and says that it has 12"),
    ],
)
def test_chunks_that_do_not_add_up_are_refused_and_nothing_stays(store, data, length, why):
    environ = asked(store, data, HTTP_CONTENT_ENCODING="aws-chunked", HTTP_X_AMZ_DECODED_CONTENT_LENGTH=length)
    with pytest.raises(UploadError, match=why) as refused:
        take(environ, store.folder)
    assert refused.value.code == "IncompleteBody"
    environ["wsgi.input"].close()
    assert list(store.folder.path.iterdir()) == []


def test_checksum_that_was_only_named_is_computed(store):
    upload = take(asked(store, b"data", HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM="SHA256"), store.folder)
    assert upload.checksum == checksums.text(hashlib.sha256(b"data").digest())


def test_checksum_that_nothing_here_computes_is_kept_as_it_came(store):
    upload = take(asked(store, b"data", HTTP_X_AMZ_CHECKSUM_CRC64NVME="AbCdEfGhIjk="), store.folder)
    assert (upload.algorithm, upload.checksum) == ("CRC64NVME", "AbCdEfGhIjk=")


def test_composite_checksum_is_that_of_the_parts_checksums():
    parts = [crc32(b"one"), crc32(b"two")]
    assert checksums.composite("CRC32", parts) == crc32(b"".join(map(base64.b64decode, parts)))
    assert checksums.composite("CRC64NVME", parts) == ""
    assert checksums.composite("CRC32", [*parts, ""]) == ""
    assert checksums.composite("CRC32", ["no base64!"]) == ""


def test_stream_ends_with_an_error_inside_a_chunk():
    with pytest.raises(MalformedError, match="ended 6 bytes before"):
        list(Chunks(io.BytesIO(b"a\r\nfour")))
