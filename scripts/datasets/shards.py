"""Records as shards with a manifest: a folder that is there whole or not at all."""

import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trainjob.errors import DatasetError, OutputError, RecordError

from scripts.datasets.forms import FIXED, Form, Rows, ToExample

MANIFEST = "manifest.json"
SHARDS = 5
"""Of the train channel, where nobody says otherwise: as many as CIFAR-10 was published in."""
_BLOCK_RECORDS = 4096


@dataclass(frozen=True, kw_only=True)
class Records:
    """Files of whole records of one size."""

    files: Sequence[Path]
    bytes: int
    """Length of a record."""
    check: Callable[[Rows, int], None]
    """Raises RecordError on rows that are not what they should be; gets them and the first one's number."""
    to_example: ToExample

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(_size(file) for file in self.files) // self.bytes

    def blocks(self, start: int, stop: int) -> Iterator[Rows]:
        """Those from `start` up to `stop`, some at a time.

        Raises:
            DatasetError: One is not what it should be.
        """
        for file in self.files:
            rows = np.memmap(file, np.uint8, "r").reshape(-1, self.bytes)
            for first in range(max(0, start), min(len(rows), stop), _BLOCK_RECORDS):
                block = rows[first : min(stop, first + _BLOCK_RECORDS)]
                try:
                    self.check(block, first)
                except RecordError as error:
                    raise DatasetError(f"{file}: {error}") from error
                yield block
            start, stop = start - len(rows), stop - len(rows)


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a data set is laid into files: the form of the records, and where a file ends."""

    form: Form = FIXED
    shards: int | None = None
    """Files of the train channel, SHARDS by default; validation is one file."""
    shard_mb: float | None = None
    """In place of their number: the most a file of any channel has, in millions of bytes."""

    def __post_init__(self) -> None:
        if self.shards is not None and self.shard_mb is not None:
            raise DatasetError(
                f"--shards {self.shards} and --shard-mb {self.shard_mb:g} are both given, but each follows from the "
                "other; give one"
            )
        if self.shard_mb is not None and not 0 < self.shard_mb < math.inf:
            raise DatasetError(f"--shard-mb {self.shard_mb:g} is no size of a file; give a number above 0")

    def identity(self) -> dict[str, Any]:
        """What the manifest keeps of it; equal identities give equal shards."""
        size = {"shards": self._count("train")} if self.shard_mb is None else {"shard_mb": self.shard_mb}
        return {"format": self.form.name} | size

    def lengths(self, channel: str, records: Records) -> list[int]:
        """How many records each shard of a channel gets.

        Raises:
            DatasetError: They cannot be divided so.
        """
        total, count = records.total, self._count(channel)
        if self.shard_mb is not None:
            # The first stands for all: only where RecordIO's magic is in a picture is one longer, by a few bytes.
            size = len(self.form.encode(next(records.blocks(0, 1)), records.to_example))
            most = round(self.shard_mb * 1e6) // size
            if most < 1:
                raise DatasetError(
                    f"--shard-mb {self.shard_mb:g} is less than a record, which has {size:,} bytes as "
                    f"{self.form.name}; give {size / 1e6:g} or more"
                )
            return [min(most, total - start) for start in range(0, total, most)]
        if not 1 <= count <= total:
            raise DatasetError(f"{total} records of channel '{channel}' cannot be {count} shards; give 1 to {total}")
        return [total // count + (number < total % count) for number in range(count)]

    def _count(self, channel: str) -> int:
        if channel != "train":
            return 1
        return SHARDS if self.shards is None else self.shards


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of a channel, as the manifest lists it."""

    file: str
    records: int
    bytes: int
    sha256: str


def read_whole(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder that still holds all its files; None for any other."""
    manifest = read_manifest(folder)
    shards = [shard for channel in manifest["channels"].values() for shard in channel] if manifest else []
    return manifest if all(_size(folder / shard["file"]) == shard["bytes"] for shard in shards) else None


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The folder's manifest; None if it has none."""
    path = folder / MANIFEST
    return dict(json.loads(path.read_text())) if path.is_file() else None


def count_records(manifest: dict[str, Any], channel: str) -> int:
    """The records of a channel."""
    return sum(shard["records"] for shard in manifest["channels"][channel])


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes a second command that prepares the same folder wait for the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.busy").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends well, and is gone when it does not.

    Raises:
        OutputError: `folder` holds something that this module did not write.
    """
    if folder.exists() and read_manifest(folder) is None and any(folder.iterdir()):
        raise OutputError(f"{folder} holds files that are no prepared data set; give another folder (--out DIR)")
    unfinished, replaced = (folder.with_name(f".{folder.name}.{state}") for state in ("unfinished", "replaced"))
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        if folder.exists():
            folder.rename(replaced)
        unfinished.rename(folder)
    finally:
        for leftover in (unfinished, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def write_channel(root: Path, channel: str, records: Records, form: Form, lengths: Sequence[int]) -> list[Shard]:
    """Copies records, in order, into shards.

    Args:
        root: where the channel's folder is made.
        channel: its name.
        records: what to copy.
        form: what they become.
        lengths: records of each shard.

    Raises:
        DatasetError: A record is not what it should be.
    """
    (root / channel).mkdir()
    width = max(3, len(str(len(lengths) - 1)))  # names must sort as numbers do
    shards, start = [], 0
    for number, length in enumerate(lengths):
        name = f"{channel}/part-{number:0{width}d}{form.suffix}"
        encoded = (form.encode(rows, records.to_example) for rows in records.blocks(start, start + length))
        shards.append(_write_shard(root / name, name, length, encoded))
        start += length
    return shards


def write_manifest(root: Path, manifest: dict[str, Any], channels: Mapping[str, Sequence[Shard]]) -> None:
    """Writes the manifest, which makes the folder a prepared data set."""
    manifest = manifest | {"channels": {name: [asdict(shard) for shard in found] for name, found in channels.items()}}
    (root / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _write_shard(path: Path, name: str, records: int, encoded: Iterator[memoryview]) -> Shard:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in encoded:
            digest.update(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return Shard(file=name, records=records, bytes=size, sha256=digest.hexdigest())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
