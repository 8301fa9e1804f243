"""Fixed-size records as shards with a manifest: a folder that is there whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trainjob.errors import DatasetError, OutputError, RecordError

MANIFEST = "manifest.json"
_BLOCK_RECORDS = 4096


@dataclass(frozen=True, kw_only=True)
class Records:
    """Files of whole records of one size."""

    files: Sequence[Path]
    bytes: int
    """Length of a record."""
    check: Callable[[NDArray[np.uint8], int], None]
    """Raises RecordError on a block that is not what it should be; gets the block and its first record's number."""

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(_size(file) for file in self.files) // self.bytes


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of a channel, as the manifest lists it."""

    file: str
    records: int
    bytes: int
    sha256: str


def is_current(folder: Path, source: dict[str, Any]) -> bool:
    """Whether the folder was made from that source and still holds all its files."""
    manifest = read_manifest(folder)
    if manifest is None or manifest["source"] != source:
        return False
    shards = [shard for channel in manifest["channels"].values() for shard in channel]
    return all(_size(folder / shard["file"]) == shard["bytes"] for shard in shards)


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


def write_channel(root: Path, channel: str, records: Records, count: int) -> list[dict[str, Any]]:
    """Copies records, in order, into `count` shards of the same length (the last may be shorter).

    Args:
        root: where the channel's folder is made.
        channel: its name.
        records: what to copy.
        count: how many shards.

    Returns:
        Their entries for the manifest.

    Raises:
        DatasetError: There are fewer records than shards, or one is not what it should be.
    """
    total = records.total
    if not 1 <= count <= total:
        raise DatasetError(f"{total} records of channel '{channel}' cannot be {count} shards; give 1 to {total}")
    per_shard = -(-total // count)
    blocks = _blocks(records, per_shard)
    (root / channel).mkdir()
    width = max(3, len(str(count - 1)))  # names must sort as numbers do
    shards = []
    for number in range(-(-total // per_shard)):
        name = f"{channel}/part-{number:0{width}d}.bin"
        shards.append(asdict(_write_shard(root / name, name, min(per_shard, total - number * per_shard), blocks)))
    return shards


def write_manifest(root: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest, which makes the folder a prepared data set."""
    (root / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _blocks(records: Records, per_shard: int) -> Iterator[NDArray[np.uint8]]:
    """Blocks of records, none of which reaches over the end of a shard."""
    sent = 0
    for file in records.files:
        rows = np.memmap(file, np.uint8, "r").reshape(-1, records.bytes)
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + _BLOCK_RECORDS, start + per_shard - sent % per_shard)
            try:
                records.check(rows[start:stop], start)
            except RecordError as error:
                raise DatasetError(f"{file}: {error}") from error
            yield rows[start:stop]
            sent += stop - start
            start = stop


def _write_shard(path: Path, name: str, records: int, blocks: Iterator[NDArray[np.uint8]]) -> Shard:
    digest, written = hashlib.sha256(), 0
    with path.open("wb") as file:
        while written < records:
            block = next(blocks)
            digest.update(block.data)
            file.write(block.data)
            written += len(block)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return Shard(file=name, records=records, bytes=size, sha256=digest.hexdigest())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
