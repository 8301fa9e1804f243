"""How much a job's channels hold: looked at in S3, else as the data set was published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from trainjob import cifar10, cub200

from scripts.submitting.errors import SubmitError
from scripts.submitting.uploading import split

PHOTOGRAPH_BYTES = 97_000
"""Mean of CUB-200-2011's, whose 11,788 have 1.15 GB."""
_TENTH = cub200.TRAIN_PHOTOGRAPHS // 10
RECORD_BYTES = {"cifar10": cifar10.RECORD_BYTES, "cub200": PHOTOGRAPH_BYTES}
PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "cifar10": {"train": cifar10.TRAIN_RECORDS, "validation": 10_000},
    "cub200": {
        "train": cub200.TRAIN_PHOTOGRAPHS - _TENTH,
        "validation": _TENTH,
        "test": cub200.TEST_PHOTOGRAPHS,
    },
}
"""Records by channel, as scripts/prepare_data.py divides them."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of one channel."""

    records: int
    megabytes: float
    """In units of 10**6 bytes."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of all channels."""

    channels: Mapping[str, Size]
    known_by: str
    """How; a clause for whoever reads an estimate."""
    note: str = ""
    """Why nothing was looked at."""


def find(request: Mapping[str, Any], dataset: str, s3: Any) -> Sizes:
    """What the request's channels hold; `s3` is a client, or None where nobody is to be asked."""
    why = "no bucket was named"
    if s3 is not None:
        try:
            channels = {
                each["ChannelName"]: _looked_at(each, dataset, s3) for each in request.get("InputDataConfig", [])
            }
            return Sizes(channels=channels, known_by="as S3 has them")
        except (BotoCoreError, ClientError, SubmitError) as error:
            why = str(error)
    names = [each["ChannelName"] for each in request.get("InputDataConfig", [])]
    published = {name: _size(PUBLISHED[dataset].get(name, 0), dataset) for name in names}
    return Sizes(channels=published, known_by=f"as {dataset} was published", note=f"S3 was not looked at: {why}")


def _looked_at(channel: Mapping[str, Any], dataset: str, s3: Any) -> Size:
    source = channel["DataSource"].get("S3DataSource", {"S3Uri": "", "S3DataType": ""})
    bucket, key = split(source["S3Uri"])
    if source["S3DataType"] == "AugmentedManifestFile":
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return _size(sum(1 for line in body.splitlines() if line.strip()), dataset)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    count = sum(item["Size"] for page in pages for item in page.get("Contents", []))
    if not count:
        raise SubmitError(f"{source['S3Uri']} holds nothing yet")
    return Size(records=round(count / RECORD_BYTES[dataset]), megabytes=count / 1e6)


def _size(records: int, dataset: str) -> Size:
    return Size(records=records, megabytes=records * RECORD_BYTES[dataset] / 1e6)
