"""Reads and writes objects of an S3: the embedded one, or any that an endpoint leads to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_mode.errors import SourceError

SCHEME = "s3://"
_CONFIG = Config(connect_timeout=5, read_timeout=300, retries={"max_attempts": 3}, s3={"addressing_style": "path"})
_WHOLE = TransferConfig(multipart_threshold=1 << 30)
"""The embedded S3 reads a whole object for every range of it: up to 1 GiB one request is the fastest."""


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

    def __init__(self, *, endpoint: str | None, access_key: str, secret: str, region: str) -> None:
        """`endpoint` is a URL; None is AWS's own."""
        self._place = {"endpoint_url": endpoint, "region_name": region}
        self._key = {"aws_access_key_id": access_key, "aws_secret_access_key": secret}
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

    def read(self, item: S3Object, start: int, length: int) -> bytes:
        """`length` bytes from `start` on; fewer at the end of the object.

        Raises:
            SourceError: the object is gone, is another one now, or cannot be read.
        """
        span = f"bytes={start}-{start + length - 1}"
        with _told(f"Cannot read s3://{item.bucket}/{item.key}"):
            answer = self._client.get_object(Bucket=item.bucket, Key=item.key, Range=span, IfMatch=item.tag)
            return bytes(answer["Body"].read())

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
        with _told(f"Cannot write to {uri}"):
            self._client.head_bucket(Bucket=split(uri)[0])

    @property
    def _client(self) -> Any:
        with self._making:
            return self._made

    @cached_property
    def _made(self) -> Any:
        # A proxy of the caller's environment leads to AWS, not to this machine.
        config = _CONFIG.merge(Config(proxies={})) if self._place["endpoint_url"] else _CONFIG
        return boto3.session.Session().client("s3", config=config, **self._place, **self._key)


def is_s3(uri: str) -> bool:
    """Whether a URI names a place in S3."""
    return uri.startswith(SCHEME)


def split(uri: str) -> tuple[str, str]:
    """Bucket and key.

    Raises:
        SourceError: the URI names no bucket.
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not is_s3(uri) or not bucket:
        raise SourceError(f"{uri!r} names no bucket; write s3://BUCKET/PREFIX.")
    return bucket, key


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        problem = error.response["Error"]
        raise SourceError(f"{what}: {problem['Code']}: {problem['Message']}") from None
    except BotoCoreError as error:
        raise SourceError(f"{what}: {error}") from None
