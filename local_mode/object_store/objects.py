"""Objects on disk: an index of them, and a folder with their bytes."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from local_mode.errors import LocalModeError
from local_mode.object_store.body import Body
from local_mode.object_store.index import Bucket, Index, Record
from local_mode.object_store.pieces import Folder, Piece, Reader


class ObjectStore:
    """All objects of one endpoint, below one folder that nobody else writes to."""

    def __init__(self, root: Path) -> None:
        """Opens it, or makes it; what a killed process left half done is removed.

        Raises:
            LocalModeError: the folder cannot be used.
        """
        try:
            self.folder = Folder(root / "objects")
            self.index = Index(root / "index.sqlite")
            self.folder.sweep(self.index.names())
        except (OSError, sqlite3.Error) as error:
            raise LocalModeError(f"Cannot keep the objects of S3 in {root}: {error}; give another --root.") from None

    def body(self, tagged: bool) -> Body:
        """An empty body of a request, which may become an object when it is `tagged`."""
        return Body(self.folder, tagged=tagged)

    def buckets(self) -> list[Bucket]:
        """All of them."""
        return self.index.buckets()

    def records(self, bucket: str) -> list[Record]:
        """All objects of a bucket."""
        return self.index.records(bucket)

    def put(self, record: Record, *, wanted: Iterable[str] = ()) -> None:
        """Take an object in; the pieces of the one it replaces go, but for those that are still `wanted`."""
        old = self.index.record(record.bucket, record.key)
        self.index.put(record)
        if old:
            self.folder.remove(old.names - record.names - set(wanted))

    def drop(self, bucket: str, key: str, *, wanted: Iterable[str] = ()) -> None:
        """Remove an object, if there is one."""
        if old := self.index.record(bucket, key):
            self.index.drop(bucket, key)
            self.folder.remove(old.names - set(wanted))

    def reader(self, pieces: Iterable[Piece], start: int = 0, length: int | None = None) -> Reader:
        """Bytes of an object; see there."""
        return Reader(self.folder, tuple(pieces), start, length)

    def close(self) -> None:
        """Let the files go."""
        self.index.close()
