"""What is known of buckets and objects, in SQLite: one row each, so that an object is there whole or not at all."""

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_mode.errors import LocalModeError
from local_mode.object_store.pieces import Piece

_TABLES = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, region TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL, modified REAL NOT NULL, pieces TEXT NOT NULL,
    more TEXT NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket."""

    name: str
    region: str
    created: float
    """Unix time."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """An object but for its bytes."""

    bucket: str
    key: str
    etag: str
    """Without quotes."""
    modified: float
    """Unix time."""
    pieces: tuple[Piece, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content-Type and its like, and x-amz-meta-*."""
    tags: Mapping[str, str] = field(default_factory=dict)
    storage: str = "STANDARD"
    checksum: Mapping[str, Any] = field(default_factory=dict)
    """algorithm, value, type, parts, as far as they are known."""
    encryption: str | None = None
    """As it was asked for; nothing is encrypted."""

    @property
    def names(self) -> set[str]:
        """Of its pieces."""
        return {piece.name for piece in self.pieces}


class Index:
    """The database. Safe to use from several threads.

    A row that was written survives the end of the process, not that of the machine: waiting for the disk would cost
    8 ms an object.
    """

    def __init__(self, path: Path) -> None:
        """Opens it, or makes it.

        Raises:
            LocalModeError: it is no such database.
        """
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            text = f"{path} cannot be read: {error}; move the folder {path.parent} away to begin with an empty S3."
            raise LocalModeError(text) from None

    def buckets(self) -> list[Bucket]:
        """All of them, by name."""
        rows = self._all("SELECT name, region, created FROM buckets ORDER BY name")
        return [Bucket(name=name, region=region, created=created) for name, region, created in rows]

    def add_bucket(self, bucket: Bucket) -> None:
        """Write a bucket down."""
        self._all("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", bucket.name, bucket.region, bucket.created)

    def drop_bucket(self, name: str) -> None:
        """Forget a bucket, which is empty."""
        self._all("DELETE FROM buckets WHERE name = ?", name)

    def records(self, bucket: str) -> list[Record]:
        """All objects of a bucket."""
        query = "SELECT key, etag, modified, pieces, more FROM objects WHERE bucket = ?"
        return [_record(bucket, *row) for row in self._all(query, bucket)]

    def record(self, bucket: str, key: str) -> Record | None:
        """One object; None when there is none of this key."""
        query = "SELECT key, etag, modified, pieces, more FROM objects WHERE bucket = ? AND key = ?"
        rows = self._all(query, bucket, key)
        return _record(bucket, *rows[0]) if rows else None

    def put(self, record: Record) -> None:
        """Write an object down in place of the one under its key."""
        more = {
            "headers": dict(record.headers),
            "tags": dict(record.tags),
            "storage": record.storage,
            "checksum": dict(record.checksum),
            "encryption": record.encryption,
        }
        pieces = " ".join(f"{piece.name}:{piece.size}" for piece in record.pieces)
        row = (record.bucket, record.key, record.etag, record.modified, pieces, json.dumps(more))
        self._all("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", *row)

    def drop(self, bucket: str, key: str) -> None:
        """Forget an object."""
        self._all("DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, key)

    def names(self) -> set[str]:
        """Of all pieces of all objects."""
        rows = self._all("SELECT pieces FROM objects")
        return {piece.partition(":")[0] for (pieces,) in rows for piece in pieces.split()}

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._connection.close()

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


def _record(bucket: str, key: str, etag: str, modified: float, pieces: str, more: str) -> Record:
    split = (piece.partition(":") for piece in pieces.split())
    return Record(
        bucket=bucket,
        key=key,
        etag=etag,
        modified=modified,
        pieces=tuple(Piece(name=name, size=int(size)) for name, _, size in split),
        **json.loads(more),
    )
