"""Reads and writes objects of an S3: the embedded one, or any that an endpoint leads to."""

import builtins
import contextlib
import errno
import mmap
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError

from local_mode.channels.objects import SCHEME, Found, ObjectError, Part
from local_mode.channels.s3_access import S3Access
from local_mode.errors import SourceError

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=120,
    retries={"max_attempts": 3},
    max_pool_connections=64,
    response_checksum_validation="when_required",  # parts of an object have no checksum of their own
)
_HERE = Config(proxies={}, s3={"addressing_style": "path"})
"""A proxy of the caller's environment leads to AWS, not to this machine, where a bucket is no name of a host either."""
_WHOLE = TransferConfig(multipart_threshold=1 << 30)
"""Up to 1 GiB one request is the fastest on this machine, and a link to AWS is no faster with several."""

_TRIES = 6
"""Of one part, each going on where the last one broke off."""
_PAUSE_SECONDS = 0.05
"""Before the second try; doubled for each."""
_PART_SECONDS = 300
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class S3Object:
    """One object, as it was when it was listed."""

    bucket: str
    key: str
    size: int
    """Bytes."""
    tag: str
    """ETag: another one means other bytes."""


class S3:
    """One S3, with one key. Safe to use from several threads; connects when it is first used."""

    def __init__(self, access: S3Access) -> None:
        self.access = access
        self._making = threading.Lock()

    def list(self, uri: str) -> tuple[S3Object, ...]:
        """The objects whose keys begin with the text of `uri`, in the binary order of their keys; may be none.

        Raises:
            SourceError: the bucket cannot be listed.
        """
        bucket, prefix = split(uri)
        with _told(f"Cannot list {uri}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            found = [
                S3Object(bucket=bucket, key=item["Key"], size=item["Size"], tag=item["ETag"])
                for page in pages
                for item in page.get("Contents", ())
            ]
        return tuple(sorted(found, key=lambda item: item.key.encode()))

    def found(self, uri: str) -> "builtins.list[Found]":
        """The same as `list` has, under whole URIs.

        Raises:
            ObjectError: the bucket cannot be listed.
        """
        try:
            return [Found(f"{SCHEME}{item.bucket}/{item.key}", item.size, item.tag) for item in self.list(uri)]
        except SourceError as error:
            raise ObjectError(str(error)) from None

    def head(self, uri: str) -> Found:
        """An object as it is now.

        Raises:
            FileNotFoundError: there is none.
            ObjectError: it cannot be asked for.
        """
        bucket, key = _parts(uri)
        try:
            answer = self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _status(error) == 404:
                raise FileNotFoundError(errno.ENOENT, "there is no such object", uri) from None
            raise ObjectError(f"{uri} cannot be read: {_words(error)}") from None
        except BotoCoreError as error:
            raise ObjectError(f"{uri} cannot be read: {error}") from None
        return Found(uri, answer["ContentLength"], answer["ETag"])

    def fetch(self, wanted: Found, start: int, length: int, stop: threading.Event) -> Part:
        """`length` bytes from `start` on, fewer at the end only; resumed where a connection breaks.

        Raises:
            ObjectError: the object is gone, is another one than `wanted`, or cannot be read.
        """
        arriving = _Arriving(found=wanted, start=start, length=length, deadline=time.monotonic() + _PART_SECONDS)
        error: Exception | None = None
        for attempt in range(_TRIES):
            if stop.wait(_PAUSE_SECONDS * 2**attempt if attempt else 0):
                break
            try:
                if self._receive(arriving, stop):
                    break
            except (HTTPClientError, IncompleteReadError, OSError) as broken:
                error = broken
            except ClientError as refused:
                if _status(refused) < 500:
                    raise _refusal(arriving.found, refused) from None
                error = refused
            except BotoCoreError as useless:
                raise ObjectError(f"{wanted.key} cannot be read: {useless}") from None
        else:
            raise ObjectError(f"{wanted.key} cannot be read, after {_TRIES} tries: {error}")
        return Part(arriving.data, arriving.found)

    def _receive(self, arriving: "_Arriving", stop: threading.Event) -> bool:
        """Take in what is missing yet; whether nothing is any more, or nobody waits for it."""
        (bucket, key), span = _parts(arriving.found.key), arriving.span()
        condition = {"IfMatch": arriving.found.tag} if arriving.found.tag else {}
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key, Range=span, **condition)
        except ClientError as error:
            if _status(error) != 416 or arriving.start:
                raise
            found = self.head(arriving.found.key)  # no range of an empty object can be asked for
            if found.size:
                raise
            arriving.begin(found, 0)
            return True
        with closing(answer["Body"]) as body:
            arriving.begin(_answered(arriving.found, answer, span), answer["ContentLength"])
            while arriving.missing() and not stop.is_set():
                arriving.got += body.readinto(arriving.missing()[:_CHUNK_BYTES]) or _cut_off()
                if time.monotonic() > arriving.deadline:
                    raise ObjectError(f"{key} is too slow: {arriving.got} bytes came in {_PART_SECONDS} s")
        return True

    def download(self, item: S3Object, path: Path) -> None:
        """Write an object to `path`, whose folder is made.

        Raises:
            SourceError: the object is gone or cannot be read.
            OSError: the file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with _told(f"Cannot read s3://{item.bucket}/{item.key}"):
            self._client.download_file(item.bucket, item.key, str(path), Config=_WHOLE)

    def upload(self, path: Path, uri: str) -> None:
        """Write a file to `uri`; whole, or not at all.

        Raises:
            SourceError: it cannot be written.
        """
        bucket, key = split(uri)
        with _told(f"Cannot write {uri}"):
            self._client.upload_file(str(path), bucket, key, Config=_WHOLE)

    def delete(self, uri: str) -> None:
        """Remove an object; nothing where there is none.

        Raises:
            SourceError: it cannot be removed.
        """
        bucket, key = split(uri)
        with _told(f"Cannot remove {uri}"):
            self._client.delete_object(Bucket=bucket, Key=key)

    def check_bucket(self, uri: str) -> None:
        """See that the bucket of `uri` is there.

        Raises:
            SourceError: it is not.
        """
        bucket, _ = split(uri)
        with _told(f"Cannot write to {uri}"):
            try:
                self._client.head_bucket(Bucket=bucket)
            except ClientError as error:  # an answer to HEAD has no words of its own
                if error.response["Error"]["Code"] != "404":
                    raise
                raise SourceError(f"Cannot write to {uri}: there is no bucket {bucket!r}; create it first.") from None

    @property
    def _client(self) -> Any:
        with self._making:
            return self._made

    @cached_property
    def _made(self) -> Any:
        access = self.access
        return boto3.session.Session().client(
            "s3",
            config=_CONFIG.merge(_HERE) if access.endpoint else _CONFIG,
            endpoint_url=access.endpoint,
            region_name=access.region,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret,
            aws_session_token=access.session_token,
        )


@dataclass
class _Arriving:
    """A part of an object, as far as it has come."""

    found: Found
    """Without a tag until the first answer has told it."""
    start: int
    length: int
    deadline: float
    got: int = 0
    data: bytearray | mmap.mmap = field(default_factory=bytearray)

    def span(self) -> str:
        return f"bytes={self.start + self.got}-{self.start + self.length - 1}"

    def begin(self, found: Found, coming: int) -> None:
        """Make room for what an answer has."""
        self.found = found
        if not self.got:
            self.data = _buffer(min(coming, self.length))

    def missing(self) -> memoryview:
        return memoryview(self.data)[self.got :]


def _buffer(size: int) -> bytearray | mmap.mmap:
    """Memory that goes back to the system at once, where it is worth a call to it.

    malloc keeps what a thread frees for that thread, which of 16 threads is twice as much as they ever need.
    """
    if size <= _CHUNK_BYTES:
        return bytearray(size)
    made = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them: 4 ms of faults for each 8 MiB, in place of 0.2
            made.madvise(mmap.MADV_HUGEPAGE)
    return made


def _answered(wanted: Found, answer: Mapping[str, Any], span: str) -> Found:
    """The object that an answer is of, which must be the one that is wanted."""
    total = answer.get("ContentRange", "").rpartition("/")[2]
    if not total and not span.startswith("bytes=0-"):
        raise ObjectError(f"{wanted.key} cannot be read from its middle: this S3 does not answer ranges")
    found = Found(wanted.key, int(total or answer["ContentLength"]), answer["ETag"])
    if wanted.tag and found != wanted:
        raise _changed(wanted, f"it had ETag {wanted.tag} and {wanted.size} bytes, then {found.tag} and {found.size}")
    return found


def _refusal(wanted: Found, error: ClientError) -> ObjectError:
    if _status(error) == 404:
        return ObjectError(f"{wanted.key} is gone: it was there when it was listed, or is only referred to")
    if _status(error) in (412, 416):
        return _changed(wanted, f"it had ETag {wanted.tag} and {wanted.size} bytes, and has not any more")
    return ObjectError(f"{wanted.key} cannot be read: {_words(error)}")


def _changed(wanted: Found, how: str) -> ObjectError:
    return ObjectError(f"{wanted.key} changed while it was read: {how}; leave a job's data alone until it has ended")


def _cut_off() -> int:
    raise ConnectionError(errno.ECONNRESET, "the connection was closed in the middle of an object")


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _words(error: ClientError) -> str:
    problem = error.response["Error"]
    return f"{problem['Code']}: {problem['Message']}"


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    return bucket, key


def of_caller(region: str) -> S3:
    """The S3 that the caller's own settings of AWS lead to, with the caller's credentials as they are now.

    Raises:
        SourceError: there are no credentials, or they cannot be had.
    """
    try:
        credentials = boto3.session.Session().get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
    except BotoCoreError as error:
        raise SourceError(f"Your AWS credentials cannot be had: {error}") from None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        raise SourceError("There are no AWS credentials here; log in, or set AWS_PROFILE or AWS_ACCESS_KEY_ID.")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    access = S3Access(
        endpoint=endpoint,
        region=region,
        access_key=frozen.access_key,
        secret=frozen.secret_key,
        session_token=frozen.token,
    )
    return S3(access)


def is_s3(uri: str) -> bool:
    """Whether a URI names a place in S3."""
    return uri.startswith(SCHEME)


def split(uri: str) -> tuple[str, str]:
    """Bucket and key.

    Raises:
        SourceError: the URI names no bucket.
    """
    bucket, key = _parts(uri)
    if not is_s3(uri) or not bucket:
        raise SourceError(f"{uri!r} names no bucket; write s3://BUCKET/PREFIX.")
    return bucket, key


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise SourceError(f"{what}: {_words(error)}") from None
    except Boto3Error as error:  # an upload's own, with S3's answer behind it
        behind = error.__context__
        raise SourceError(f"{what}: {_words(behind) if isinstance(behind, ClientError) else error}") from None
    except BotoCoreError as error:
        raise SourceError(f"{what}: {error}") from None
