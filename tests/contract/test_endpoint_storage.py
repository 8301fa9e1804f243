"""The embedded S3 keeps its objects on disk (contract 2.4: artifacts are at their S3 URIs, whatever becomes of us)."""

import base64
import hashlib
import io
import json
import os
import signal
import sqlite3
import tarfile
import time
import zlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from tests.contract.endpoint import BUCKET, Server

pytestmark = pytest.mark.contract("endpoint", "U")

PART = 5 << 20
STRANGE = [
    "a/../b",
    "../../../../escaped",
    "a//b",
    "/rooted",
    "ünï/cödé 🐍+ %41&=?#.txt",
    "x" * 1024,
    "dir/",
    ".",
]


@pytest.fixture
def start(tmp_path):
    """Starts endpoints in one folder, one after the other; none outlives its test."""
    made = []

    def start_one():
        if made:
            made[-1].end(signal.SIGKILL)
        made.append(Server.start(tmp_path))
        return made[-1]

    yield start_one
    for server in made:
        server.end(signal.SIGKILL)
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """One endpoint for all that needs no restart."""
    server = Server.start(tmp_path_factory.mktemp("storage"))
    client = server.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.server = server
    yield client
    assert server.end() == 0
    assert "Traceback" not in server.log.read_text()


def with_bucket(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    return s3


def body(s3, key, **wanted):
    return s3.get_object(Bucket=BUCKET, Key=key, **wanted)["Body"].read()


def keys(s3):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def pieces(server):
    return list((server.root / "s3" / "objects").iterdir())


def refused(caught):
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_objects_survive_kill_and_restart_with_all_that_was_said_of_them(start):
    data = os.urandom(3 << 20)
    s3 = with_bucket(start())
    said = {"ContentType": "image/png", "ContentEncoding": "gzip", "CacheControl": "no-store",
            "ContentDisposition": "inline", "Metadata": {"class": "wren", "a_b": "kept"}}  # fmt: skip
    s3.put_object(Bucket=BUCKET, Key="in/bird.png", Body=data, Tagging="team=vision&cost=1", **said)
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    before = s3.head_object(Bucket=BUCKET, Key="in/bird.png", ChecksumMode="ENABLED")

    s3 = start().client("s3")

    after = s3.get_object(Bucket=BUCKET, Key="in/bird.png", ChecksumMode="ENABLED")
    assert after["Body"].read() == data
    assert {name: after[name] for name in said} == said
    assert after["ETag"] == before["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert after["LastModified"] == before["LastModified"]
    assert after["ChecksumCRC32"] == before["ChecksumCRC32"] == crc32(data)
    tags = s3.get_object_tagging(Bucket=BUCKET, Key="in/bird.png")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "vision", "cost": "1"}
    assert body(s3, "empty") == b""
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [(item["Key"], item["Size"]) for item in listed] == [("empty", 0), ("in/bird.png", len(data))]


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_upload_in_parts_survives_kill_and_restart(start, tmp_path):
    data = os.urandom(3 * PART + 17)
    (tmp_path / "file").write_bytes(data)
    s3 = with_bucket(start())
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    extra = {"Metadata": {"a": "b"}, "ContentType": "x/y"}
    s3.upload_file(str(tmp_path / "file"), BUCKET, "large", Config=config, ExtraArgs=extra)
    tag = s3.head_object(Bucket=BUCKET, Key="large")["ETag"]

    s3 = start().client("s3")

    found = s3.get_object(Bucket=BUCKET, Key="large")
    assert (found["Body"].read(), found["ETag"], found["Metadata"]) == (data, tag, {"a": "b"})
    assert tag.endswith('-4"')
    assert body(s3, "large", Range=f"bytes={PART - 3}-{2 * PART + 3}") == data[PART - 3 : 2 * PART + 4]
    part = s3.get_object(Bucket=BUCKET, Key="large", PartNumber=2)
    assert (part["Body"].read(), part["PartsCount"]) == (data[PART : 2 * PART], 4)


def test_deleted_objects_stay_deleted_and_leave_no_bytes(start):
    server = start()
    s3 = with_bucket(server)
    for key in ("a", "b", "c", "d"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"data")
    s3.delete_object(Bucket=BUCKET, Key="a")
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "b"}, {"Key": "c"}]})
    assert len(pieces(server)) == 1

    s3 = start().client("s3")

    assert keys(s3) == ["d"]
    with pytest.raises(ClientError, match="NoSuchKey") as gone:
        body(s3, "a")
    assert refused(gone) == (404, "NoSuchKey")


def test_buckets_survive_and_a_deleted_one_does_not(start):
    s3 = with_bucket(start())
    s3.create_bucket(Bucket="of-europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.create_bucket(Bucket="for-a-moment")
    s3.delete_bucket(Bucket="for-a-moment")
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"")
    created = {item["Name"]: item["CreationDate"] for item in s3.list_buckets()["Buckets"]}

    s3 = start().client("s3")

    assert {item["Name"]: item["CreationDate"] for item in s3.list_buckets()["Buckets"]} == created
    assert set(created) == {BUCKET, "of-europe"}
    assert s3.get_bucket_location(Bucket="of-europe")["LocationConstraint"] == "eu-west-1"
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=BUCKET)


def test_copies_tags_and_overwritten_objects_survive_as_they_were_left(start):
    server = start()
    s3 = with_bucket(server)
    source = {"Bucket": BUCKET, "Key": "first"}
    s3.put_object(**source, Body=b"one", Metadata={"n": "1"}, Tagging="a=b")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=source)
    s3.copy_object(Bucket=BUCKET, Key="other", CopySource=source, Metadata={"n": "2"}, MetadataDirective="REPLACE")
    s3.put_object(**source, Body=b"two")
    s3.put_object_tagging(**source, Tagging={"TagSet": [{"Key": "late", "Value": "yes"}]})
    s3.delete_object_tagging(Bucket=BUCKET, Key="copy")
    assert len(pieces(server)) == 3

    s3 = start().client("s3")

    assert [body(s3, key) for key in ("first", "copy", "other")] == [b"two", b"one", b"one"]
    assert s3.head_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"n": "1"}
    assert s3.head_object(Bucket=BUCKET, Key="other")["Metadata"] == {"n": "2"}
    assert s3.get_object_tagging(**source)["TagSet"] == [{"Key": "late", "Value": "yes"}]
    assert s3.get_object_tagging(Bucket=BUCKET, Key="copy")["TagSet"] == []


def test_upload_that_was_never_completed_is_gone_with_its_parts(start):
    server = start()
    s3 = with_bucket(server)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="half")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="half", UploadId=upload, PartNumber=1, Body=bytes(PART))
    (server.root / "s3" / "objects" / "half-written").write_bytes(b"by a request that a kill cut short")

    server = start()

    assert keys(server.client("s3")) == []
    assert pieces(server) == []


def test_artifacts_of_a_finished_job_are_at_their_uri_after_kill_and_restart(start):
    server = start()
    with_bucket(server)
    server.create("done", ["epochs"], channels=None)
    uri = server.ended("done")["ModelArtifacts"]["S3ModelArtifacts"]

    server = start()

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    assert server.describe("done")["ModelArtifacts"]["S3ModelArtifacts"] == uri
    packed = server.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert json.load(archive.extractfile("report.json"))


def test_start_takes_hardly_longer_with_ten_thousand_objects(start, tmp_path):
    server = start()
    with_bucket(server)
    quiet = busy_seconds(server)
    server.end(signal.SIGKILL)
    folder = tmp_path / "root" / "s3"
    with closing(sqlite3.connect(folder / "index.sqlite")) as index, index:
        rows = []
        for number in range(10_000):
            (folder / "objects" / f"{number:032x}").write_bytes(b"x")
            more = '{"headers": {"content-type": "text/plain"}}'
            rows.append((BUCKET, f"many/{number:05d}", "0" * 32, time.time(), f"{number:032x}:1", more))
        index.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)", rows)

    server = start()
    full = busy_seconds(server)

    # Of a processor: others may use this machine, too. To read them one by one would take seconds.
    assert full < 1.5 * quiet, (quiet, full)
    s3 = server.client("s3")
    assert body(s3, "many/09999") == b"x"
    assert sum(page["KeyCount"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)) == 10_000


def busy_seconds(server):
    """CPU time that the endpoint has taken."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("key", STRANGE)
def test_no_key_becomes_a_path(s3, key, tmp_path):
    s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())

    assert body(s3, key) == key.encode()
    assert body(s3, key, Range="bytes=0-0") == key.encode()[:1]
    assert key in keys(s3)
    names = [path.name for path in pieces(s3.server)]
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
    assert {path.name for path in (s3.server.root / "s3").iterdir()} >= {"objects", "index.sqlite"}
    s3.delete_object(Bucket=BUCKET, Key=key)
    assert key not in keys(s3)


@pytest.mark.parametrize(
    ("asked", "span", "told"),
    [
        ("bytes=0-0", slice(0, 1), "bytes 0-0/1000"),
        ("bytes=990-", slice(990, 1000), "bytes 990-999/1000"),
        ("bytes=-5", slice(995, 1000), "bytes 995-999/1000"),
        ("bytes=-5000", slice(0, 1000), "bytes 0-999/1000"),
        ("bytes=10-99999", slice(10, 1000), "bytes 10-999/1000"),
        ("bytes=5-4", slice(0, 1000), None),
        ("bytes=0-1,5-6", slice(0, 1000), None),
        ("rows=0-1", slice(0, 1000), None),
    ],
)
def test_ranges_are_answered_as_s3_does(s3, asked, span, told):
    data = bytes(range(250)) * 4
    s3.put_object(Bucket=BUCKET, Key="ranged", Body=data)

    answer = s3.get_object(Bucket=BUCKET, Key="ranged", Range=asked)
    head = s3.head_object(Bucket=BUCKET, Key="ranged", Range=asked)

    assert answer["Body"].read() == data[span]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == (206 if told else 200)
    assert answer.get("ContentRange") == told
    assert head["ContentLength"] == answer["ContentLength"] == len(data[span])
    assert answer["AcceptRanges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=-0"])
def test_range_outside_of_an_object_is_refused(s3, asked):
    s3.put_object(Bucket=BUCKET, Key="ranged", Body=bytes(1000))
    with pytest.raises(ClientError, match="requested range is not satisfiable") as outside:
        body(s3, "ranged", Range=asked)
    assert refused(outside) == (416, "InvalidRange")
    assert outside.value.response["Error"]["ActualObjectSize"] == "1000"


def test_conditions_decide_what_is_answered(s3):
    tag = s3.put_object(Bucket=BUCKET, Key="tagged", Body=b"data")["ETag"]
    soon, before = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)

    assert body(s3, "tagged", IfMatch=tag, IfUnmodifiedSince=before) == b"data"
    assert body(s3, "tagged", IfNoneMatch='"other"', IfModifiedSince=soon) == b"data"
    for failing in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}):
        with pytest.raises(ClientError, match="pre-conditions") as failed:
            body(s3, "tagged", **failing)
        assert refused(failed) == (412, "PreconditionFailed")
        with pytest.raises(ClientError, match="412") as failed:
            s3.head_object(Bucket=BUCKET, Key="tagged", **failing)
    for same in ({"IfNoneMatch": tag}, {"IfModifiedSince": soon}):
        with pytest.raises(ClientError, match="304"):
            body(s3, "tagged", **same)
        with pytest.raises(ClientError, match="304"):
            s3.head_object(Bucket=BUCKET, Key="tagged", **same)


def test_answer_can_be_told_to_have_other_headers(s3):
    s3.put_object(Bucket=BUCKET, Key="plain", Body=b"data", ContentType="text/plain")
    answer = s3.get_object(Bucket=BUCKET, Key="plain", ResponseContentType="image/gif", ResponseCacheControl="no-store")
    assert (answer["ContentType"], answer["CacheControl"]) == ("image/gif", "no-store")


def test_object_in_parts_has_the_checksum_of_its_parts(s3):
    made = s3.create_multipart_upload(Bucket=BUCKET, Key="summed", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, data in enumerate((bytes(PART), b"end"), 1):
        part = {"PartNumber": number, "Body": data, "ChecksumAlgorithm": "CRC32"}
        answer = s3.upload_part(Bucket=BUCKET, Key="summed", UploadId=made, **part)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket=BUCKET, Key="summed", UploadId=made, MultipartUpload={"Parts": parts})

    sums = b"".join(zlib.crc32(data).to_bytes(4, "big") for data in (bytes(PART), b"end"))
    head = s3.head_object(Bucket=BUCKET, Key="summed", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (f"{crc32(sums)}-2", "COMPOSITE")


def test_part_can_be_copied_from_an_object_and_parts_that_are_not_named_go(s3):
    s3.put_object(Bucket=BUCKET, Key="source", Body=bytes(100) + b"x" * PART)
    before = len(pieces(s3.server))
    made = {"Bucket": BUCKET, "Key": "joined"}
    made["UploadId"] = s3.create_multipart_upload(**made)["UploadId"]
    copied = s3.upload_part_copy(
        **made, PartNumber=1, CopySource={"Bucket": BUCKET, "Key": "source"}, CopySourceRange=f"bytes=100-{PART + 99}"
    )
    s3.upload_part(**made, PartNumber=2, Body=b"not used")
    last = s3.upload_part(**made, PartNumber=2, Body=b"also not used")["ETag"]
    last = s3.upload_part(**made, PartNumber=3, Body=b"end")["ETag"]
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}, {"PartNumber": 3, "ETag": last}]
    s3.complete_multipart_upload(**made, MultipartUpload={"Parts": parts})

    assert body(s3, "joined") == b"x" * PART + b"end"
    assert len(pieces(s3.server)) == before + 2
    again = {"Bucket": BUCKET, "Key": "dropped"}
    again["UploadId"] = s3.create_multipart_upload(**again)["UploadId"]
    s3.upload_part(**again, PartNumber=1, Body=b"part")
    s3.abort_multipart_upload(**again)
    assert len(pieces(s3.server)) == before + 2
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(**again, PartNumber=2, Body=b"late")
    assert len(pieces(s3.server)) == before + 2


def test_upload_with_another_checksum_is_refused_and_the_object_stays_as_it_was(s3):
    s3.put_object(Bucket=BUCKET, Key="checked", Body=b"right")
    for wrong in ({"ContentMD5": base64.b64encode(bytes(16)).decode()}, {"ChecksumSHA256": crc32(b"")}):
        with pytest.raises(ClientError, match="BadDigest") as bad:
            s3.put_object(Bucket=BUCKET, Key="checked", Body=b"wrong", **wrong)
        assert refused(bad) == (400, "BadDigest")
    before = len(pieces(s3.server))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key="checked", Body=b"wrong", IfNoneMatch="*")
    with pytest.raises(ClientError, match="InvalidTag"):
        s3.put_object(Bucket=BUCKET, Key="checked", Body=b"wrong", Tagging="aws:a=b")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="no-such-bucket", Key="checked", Body=b"wrong")

    assert body(s3, "checked") == b"right"
    assert len(pieces(s3.server)) == before


def test_body_in_chunks_is_taken_out_of_them(s3):
    data = os.urandom(300_000)
    framed = (
        b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:200_000], data[200_000:]))
        + b"0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % crc32(data).encode()
    )
    send_chunked(s3, "chunked", framed, len(data))

    assert body(s3, "chunked") == data
    head = s3.head_object(Bucket=BUCKET, Key="chunked", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == crc32(data)
    with pytest.raises(AssertionError, match="BadDigest"):
        send_chunked(s3, "chunked", framed.replace(data[:10], bytes(10)), len(data))
    with pytest.raises(AssertionError, match="IncompleteBody"):
        send_chunked(s3, "chunked", framed[:100_000], len(data))
    assert body(s3, "chunked") == data


class Chunked(S3SigV4Auth):
    """Signs as SDKs do over TLS, where the body is not signed."""

    def payload(self, request):
        return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def send_chunked(s3, key, framed, size):
    found = s3.server.found
    headers = {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": str(size)}
    headers["Content-Encoding"] = "aws-chunked"
    request = AWSRequest(method="PUT", url=f"{found['url']}/{BUCKET}/{key}", data=framed, headers=headers)
    Chunked(Credentials(found["access_key"], found["secret"]), "s3", found["region"]).add_auth(request)
    session = URLLib3Session(timeout=10)
    answer = session.send(request.prepare())
    session.close()
    assert answer.status_code == 200, answer.text


def test_older_versions_are_there_while_the_endpoint_runs(s3):
    bucket = {"Bucket": "with-versions"}
    s3.create_bucket(**bucket)
    s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(**bucket, Key="k", Body=b"first")["VersionId"]
    s3.put_object(**bucket, Key="k", Body=b"second")
    s3.delete_object(**bucket, Key="k")

    assert s3.get_object(**bucket, Key="k", VersionId=first)["Body"].read() == b"first"
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(**bucket, Key="k")


def test_object_that_is_replaced_while_it_is_read_is_read_to_its_end(s3):
    data = os.urandom(64 << 20)
    s3.put_object(Bucket=BUCKET, Key="read", Body=data)
    stream = s3.get_object(Bucket=BUCKET, Key="read")["Body"]
    begun = stream.read(1 << 20)
    s3.put_object(Bucket=BUCKET, Key="read", Body=b"another")

    assert begun + stream.read() == data
    assert body(s3, "read") == b"another"
