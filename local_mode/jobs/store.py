"""The jobs of a root folder in one SQLite database: what Describe answers, and what List filters and sorts by.

Safe to use from several threads and several processes at once: `train` in a terminal and an endpoint share a root.
"""

import contextlib
import json
import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.errors import LocalModeError
from local_mode.jobs.folder import JobFolder, jobs_folder, wait_for_lock

FORMAT = 1
"""Of the database; a later one is for a later local_mode to read."""
_BUSY_SECONDS = 30
"""A write takes milliseconds; who waits this long waits for something that hangs."""
_SUMMARY = {
    "name": "TrainingJobName",
    "arn": "TrainingJobArn",
    "created": "CreationTime",
    "modified": "LastModifiedTime",
    "ended": "TrainingEndTime",
    "status": "TrainingJobStatus",
    "secondary": "SecondaryStatus",
}
"""Columns, and the members of a record they repeat."""
_COLUMNS = ", ".join(_SUMMARY)
# Each index has all that List shows, so that a list of ten thousand jobs never touches their documents.
_SCHEMA = f"""
CREATE TABLE jobs (name TEXT PRIMARY KEY, arn TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, ended REAL,
                   status TEXT NOT NULL, secondary TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX by_name ON jobs ({_COLUMNS});
CREATE INDEX by_created ON jobs (created, name, arn, modified, ended, status, secondary);
CREATE INDEX by_status ON jobs (status, name, arn, created, modified, ended, secondary);
CREATE INDEX by_arn ON jobs (arn);
CREATE TABLE curves (name TEXT PRIMARY KEY, document TEXT NOT NULL);
"""
_FULL = sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE
_BROKEN = sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT
_KEY_BITS = 0xFF
"""An extended error code's primary one."""
_writes = threading.Lock()
"""Of this process's threads: they take turns, while SQLite lets those who wait try again at longer and longer times."""
Document = dict[str, Any]
Place = tuple[Any, str]
"""Where a job stands in an order: the value that is sorted by, and its name."""


class StoreError(LocalModeError):
    """The database of jobs cannot be read or written; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which jobs, in which order. Bounds of time are exclusive, in seconds since 1970."""

    contains: str = ""
    """Part of the name, in either case."""
    arn: str | None = None
    status: str | None = None
    created: tuple[float, float] = (-math.inf, math.inf)
    modified: tuple[float, float] = (-math.inf, math.inf)
    sort: str = "created"
    """created, name or status; jobs that are equal in it are ordered by name."""
    backwards: bool = False
    after: Place | None = None
    """Only jobs behind this place."""
    skip: int = 0
    limit: int = -1
    """At most so many; -1 is all."""


class Store:
    """The database of one root folder. It holds nothing open between two calls."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.path = root / "jobs.db"

    def put(self, document: Document) -> None:
        """Write a job's record, new or changed; a process killed at any moment leaves the old one or the new one.

        Raises:
            StoreError: it cannot be written.
        """
        with self._writing() as database:
            _put(database, document)

    def get(self, name: str) -> Document | None:
        """A job's record; None where there is none.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._open() as database:
            row = database.execute("SELECT document FROM jobs WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def remove(self, name: str) -> None:
        """Forget a job.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._writing() as database:
            database.execute("DELETE FROM jobs WHERE name = ?", (name,))
            database.execute("DELETE FROM curves WHERE name = ?", (name,))

    def put_curves(self, name: str, document: Document) -> None:
        """Write how a job's metrics and channels went over time.

        Raises:
            StoreError: it cannot be written.
        """
        with self._writing() as database:
            database.execute("INSERT OR REPLACE INTO curves VALUES (?, ?)", (name, json.dumps(document)))

    def curves(self, name: str) -> Document | None:
        """What `put_curves` wrote; None where nothing was.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._open() as database:
            row = database.execute("SELECT document FROM curves WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def find(self, query: Query) -> list[Document]:
        """Summaries of the jobs that a query asks for: the members that List shows.

        Raises:
            StoreError: the database cannot be read.
        """
        clause, values = _where(query)
        way = "DESC" if query.backwards else "ASC"
        order = ", ".join(f"{column} {way}" for column in dict.fromkeys((query.sort, "name")))
        statement = (
            f"SELECT {_COLUMNS} FROM jobs WHERE {clause} "  # noqa: S608  # our own words; values are bound
            f"ORDER BY {order} LIMIT ? OFFSET ?"
        )
        with self._open() as database:
            rows = database.execute(statement, (*values, query.limit, query.skip)).fetchall()
        members = _SUMMARY.values()
        return [{key: value for key, value in zip(members, row, strict=True) if value is not None} for row in rows]

    def count(self, query: Query) -> dict[str, int]:
        """How many jobs of each status a query's filters leave; its status, order and limit do not count.

        Raises:
            StoreError: the database cannot be read.
        """
        clause, values = _where(query, with_status=False)
        with self._open() as database:
            statement = f"SELECT status, count(*) FROM jobs WHERE {clause} GROUP BY status"  # noqa: S608  # as above
            return dict(database.execute(statement, values).fetchall())

    def check(self) -> None:
        """Make the database if there is none, and look whether it is whole.

        Raises:
            StoreError: it is not, or a newer local_mode wrote it.
        """
        with self._open() as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreError(self._broken(str(found)))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _writes, self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")  # what does not come here is rolled back when the connection closes

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call's own: none is shared by threads, and none is left open by a caller that goes."""
        try:
            if not self.path.exists():
                self._make()
            with _connect(self.path) as database:
                self._check_format(database)
                database.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives the machine's fall, too
                yield database
        except sqlite3.Error as error:
            raise StoreError(self._explain(error)) from None
        except OSError as error:
            text = f"Cannot write to {self.path}: {error.strerror}; give another folder in --root."
            raise StoreError(text) from None

    def _check_format(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > FORMAT:
            raise StoreError(
                f"{self.path} is of format {version}, written by a newer local_mode; this one reads up to {FORMAT}. "
                "Install that version again, or give another folder in --root."
            )
        if version < FORMAT:
            raise StoreError(self._broken(f"it has format {version}, which no local_mode wrote"))

    def _make(self) -> None:
        """A database with all jobs that lie in files, whole or not at all, and made by one of those who want it."""
        self._root.mkdir(parents=True, exist_ok=True)
        half = self.path.with_name(f".{self.path.name}.part")
        with _alone(self._root):
            if self.path.exists():
                return
            for left in self._root.glob(f"{half.name}*"):  # by one who was killed here
                left.unlink()
            os.close(os.open(half, os.O_RDWR | os.O_CREAT, 0o600))  # requests may hold what is their owner's alone
            with _connect(half) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                for document in _files(self._root):
                    _put(database, document)
                database.execute(f"PRAGMA user_version = {FORMAT}")
                database.execute("COMMIT")
            half.replace(self.path)

    def _explain(self, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & _KEY_BITS in _BROKEN:
            return self._broken(str(error))
        if code in _FULL:
            return f"The disk is full under {self.path} ({error}); make room there."
        return f"Cannot use {self.path}: {error}; see that its folder can be written and no process hangs on it."

    def _broken(self, what: str) -> str:
        return (
            f"{self.path} is damaged ({what}). End every local_mode that uses it and move {self.path.name}* away: "
            "the next one makes it anew from the job.json of each job that ended."
        )


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
        yield database


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the folder itself; its lock file is held by those who sweep, and they open the database."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not wait_for_lock(descriptor, _BUSY_SECONDS):
            raise StoreError(f"Another process holds {root} for {_BUSY_SECONDS} s; end it.")
        yield
    finally:
        os.close(descriptor)


def _where(query: Query, *, with_status: bool = True) -> tuple[str, list[Any]]:
    """The filters as SQL, and the values for its question marks."""
    tests: list[tuple[str, list[Any]]] = []
    if query.contains:
        tests.append(("instr(lower(name), ?)", [query.contains.lower()]))
    if query.arn is not None:
        tests.append(("arn = ?", [query.arn]))
    if query.status is not None and with_status:
        tests.append(("status = ?", [query.status]))
    for column in ("created", "modified"):
        for sign, bound in zip("><", getattr(query, column), strict=True):
            if math.isfinite(bound):
                tests.append((f"{column} {sign} ?", [bound]))
    if query.after is not None:
        tests.append((f"({query.sort}, name) {'<' if query.backwards else '>'} (?, ?)", list(query.after)))
    return " AND ".join(test for test, _ in tests) or "TRUE", [value for _, values in tests for value in values]


def _put(database: sqlite3.Connection, document: Document) -> None:
    values = [*(document.get(member) for member in _SUMMARY.values()), json.dumps(document, allow_nan=False)]
    marks = ", ".join("?" * len(values))
    database.execute(f"INSERT OR REPLACE INTO jobs ({_COLUMNS}, document) VALUES ({marks})", values)  # noqa: S608


def _files(root: Path) -> Iterator[Document]:
    """The records of jobs that lie in files alone: of a root older than its database, or one whose database is gone."""
    folder = jobs_folder(root)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):  # no job, or one whose maker was killed before its record
            document = json.loads(JobFolder(path=path).record.read_text(encoding="utf-8"))
            if isinstance(document, dict) and document.get("TrainingJobName") == path.name:
                yield document
