"""Prepared data brought to where a request's channels are: what `prepare_data.py` wrote, file by file."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scripts.cleaning import mark
from scripts.datasets import shards
from scripts.datasets.photographs import manifest_name
from scripts.submitting.destination import Destination
from scripts.submitting.errors import SubmitError

_THREADS = 8
_SCHEME = "s3://"
_REFERENCE = "source-ref"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One object to be."""

    bucket: str
    key: str
    path: Path | None = None
    """The file that becomes it."""
    body: bytes = b""
    """What becomes it, where that is no file."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size if self.path else len(self.body)


def plan(request: Mapping[str, Any], folder: Path) -> list[Upload]:
    """What goes where, so that the channels of the request find it; manifests last, as they refer to the rest.

    Raises:
        SubmitError: The folder is not prepared, lacks a channel, or a channel is not in S3.
    """
    if shards.read_manifest(folder) is None:
        raise SubmitError(f"{folder} holds no prepared data; give a folder that scripts/prepare_data.py has written")
    uploads: list[Upload] = []
    for channel in request.get("InputDataConfig", []):
        name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource", {})
        if not (folder / name).is_dir():
            raise SubmitError(f"{folder} has no channel '{name}', which the job reads; prepare it, or leave that out")
        if source.get("S3DataType") == "AugmentedManifestFile":
            uploads += _lines(folder, name, source["S3Uri"])
        else:
            uploads += _files(folder / name, source.get("S3Uri", ""))
    return sorted(uploads, key=lambda upload: upload.path is None)


def upload(destination: Destination, uploads: list[Upload]) -> int:
    """Brings what is not there in the same size; how many objects that were.

    An endpoint of this machine gets its bucket as well; on AWS that is the account's to have.
    """
    buckets = {upload.bucket for upload in uploads}
    if destination.is_local:
        for bucket in buckets - {each["Name"] for each in destination.s3.list_buckets()["Buckets"]}:
            destination.s3.create_bucket(Bucket=bucket, **_here(destination.region))
    there = {bucket: _sizes(destination.s3, bucket, uploads) for bucket in buckets}
    files = [each for each in uploads if each.path and there[each.bucket].get(each.key) != each.size]
    with (
        ThreadPoolExecutor(_THREADS) as threads,
        tqdm(desc="uploading", total=len(files), unit=" files", delay=1, disable=None) as bar,
    ):
        for _ in threads.map(lambda each: _send(destination.s3, each), files):
            bar.update()
    bodies = [each for each in uploads if not each.path]
    for each in bodies:
        destination.s3.put_object(Bucket=each.bucket, Key=each.key, Body=each.body, Tagging=mark.header(mark.SUBMIT))
    return len(files) + len(bodies)


def _send(s3: Any, upload: Upload) -> None:
    s3.upload_file(str(upload.path), upload.bucket, upload.key, ExtraArgs={"Tagging": mark.header(mark.SUBMIT)})


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI.

    Raises:
        SubmitError: It is none.
    """
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not uri.startswith(_SCHEME) or not bucket:
        raise SubmitError(
            f"{uri or 'A channel'} is no place in S3, so nothing can be uploaded there; give s3://bucket/key"
        )
    return bucket, key


def _files(folder: Path, uri: str) -> Iterator[Upload]:
    bucket, key = split(uri)
    prefix = f"{key.rstrip('/')}/" if key else ""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield Upload(bucket=bucket, key=f"{prefix}{path.relative_to(folder).as_posix()}", path=path)


def _lines(folder: Path, channel: str, uri: str) -> Iterator[Upload]:
    """A channel's photographs beside its augmented manifest, and the manifest, which refers to them there."""
    bucket, key = split(uri)
    beside = uri.rpartition("/")[0]
    yield from _files(folder / channel, f"{beside}/{channel}")
    changed = []
    for line in (folder / manifest_name(channel)).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        entry[_REFERENCE] = f"{beside}/{channel}/{entry['key']}"
        changed.append(json.dumps(entry))
    yield Upload(bucket=bucket, key=key, body="".join(f"{line}\n" for line in changed).encode())


def _sizes(s3: Any, bucket: str, uploads: list[Upload]) -> dict[str, int]:
    """Of the objects that lie in the folders that are uploaded to."""
    folders = {upload.key.rpartition("/")[0] for upload in uploads if upload.bucket == bucket and upload.path}
    pages = s3.get_paginator("list_objects_v2")
    return {
        item["Key"]: item["Size"]
        for folder in folders
        for page in pages.paginate(Bucket=bucket, Prefix=f"{folder}/" if folder else "", Delimiter="/")
        for item in page.get("Contents", [])
    }


def _here(region: str) -> dict[str, Any]:
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
