"""Records as shards with a manifest: a folder that is there whole or not at all."""

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trainjob.errors import DatasetError, OutputError, RecordError

from scripts.datasets.forms import FIXED, Form, Rows

MANIFEST = "manifest.json"
UNPACKED = "unpacked"
"""What lies in a folder while it is written, and is cleared away at the end."""
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
    """How a data set is laid into files: the form of the records, and where a file of them ends."""

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
        if self.form.write is None and (self.shards is not None or self.shard_mb is not None):
            raise DatasetError(
                f"--shards and --shard-mb are for shards, but as {self.form.name} each record is a file of its own; "
                "leave them out, or give another --format"
            )
        if self.shard_mb is not None and not 0 < self.shard_mb < math.inf:
            raise DatasetError(f"--shard-mb {self.shard_mb:g} is no size of a file; give a number above 0")

    def identity(self) -> dict[str, Any]:
        """What the manifest keeps of it; equal identities give equal shards."""
        if self.form.write is None:
            return {"format": self.form.name}
        size = {"shards": self._count("train")} if self.shard_mb is None else {"shard_mb": self.shard_mb}
        return {"format": self.form.name} | size

    def lengths(self, channel: str, sizes: Sequence[int]) -> list[int]:
        """How many records each shard of a channel gets.

        Args:
            channel: its name.
            sizes: bytes of each record in this form.

        Raises:
            DatasetError: They cannot be divided so.
        """
        total, count = len(sizes), self._count(channel)
        if self.shard_mb is not None:
            if (longest := max(sizes, default=0)) > self.shard_mb * 1e6:
                raise DatasetError(
                    f"--shard-mb {self.shard_mb:g} is less than a record, which has {longest:,} bytes as "
                    f"{self.form.name}; give {longest / 1e6:g} or more"
                )
            return _fill(sizes, round(self.shard_mb * 1e6))
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


def bring(
    out: Path, identity: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]], *, room: str
) -> dict[str, Any]:
    """Brings a folder in line with what it is to hold, if it is not.

    Args:
        out: the folder; made, or replaced as a whole.
        identity: what the manifest is to say of it; a folder that says the same and is whole is left alone.
        write: writes the channels into an empty folder; what it returns the manifest says as well, `channels` among it.
        room: about what a full disk lacks, for the error.

    Returns:
        The manifest.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        with alone(out):
            found = read_whole(out) or {}
            if any(found.get(key) != value for key, value in identity.items()):
                with replacing(out) as work:
                    write_manifest(work, {**identity, **write(work)})
                    shutil.rmtree(work / UNPACKED, ignore_errors=True)
    except OSError as error:
        remedy = f"free some {room} there, or give" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "give"
        raise OutputError(f"Cannot prepare {out}: {error}; {remedy} another place (--out DIR)") from error
    manifest = read_manifest(out)
    assert manifest is not None  # noqa: S101 - written or checked above, under the lock
    return manifest


def write_shards(
    root: Path, channel: str, suffix: str, lengths: Sequence[int], encode: Callable[[int, int], Iterable[memoryview]]
) -> list[Shard]:
    """Writes a channel's records, in order, into shards.

    Args:
        root: where the channel's folder is made.
        channel: its name.
        suffix: of the shards' names.
        lengths: records of each shard.
        encode: the bytes of the records from one number up to another, some at a time.
    """
    (root / channel).mkdir()
    width = max(3, len(str(len(lengths) - 1)))  # names must sort as numbers do
    shards, start = [], 0
    for number, length in enumerate(lengths):
        name = f"{channel}/part-{number:0{width}d}{suffix}"
        shards.append(write_file(root, name, length, encode(start, start + length)))
        start += length
    return shards


def write_manifest(root: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest, which makes the folder a prepared data set."""
    channels = {name: [asdict(shard) for shard in found] for name, found in manifest["channels"].items()}
    (root / MANIFEST).write_text(json.dumps({**manifest, "channels": channels}, indent=2) + "\n")


def write_file(root: Path, name: str, records: int, parts: Iterable[bytes | memoryview]) -> Shard:
    """Writes one file of a channel, part after part."""
    digest = hashlib.sha256()
    with (root / name).open("wb") as file:
        for part in parts:
            digest.update(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return Shard(file=name, records=records, bytes=size, sha256=digest.hexdigest())


def _fill(sizes: Sequence[int], most: int) -> list[int]:
    """How many records each file gets, so that none is longer than `most` bytes; no record is."""
    lengths, filled = [0], 0
    for size in sizes:
        if filled + size > most:
            lengths.append(0)
            filled = 0
        lengths[-1] += 1
        filled += size
    return lengths


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
