"""The one SQLite database of a root folder: how it is made, opened, written and looked after.

Training jobs are read and written by `jobs.store`, tuning jobs by `tuning.store`, experiments by `experiments.store`.
Safe to use from several threads and several processes at once: `train` in a terminal and an endpoint share a root.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local_mode.errors import LocalModeError
from local_mode.jobs.folder import JobFolder, jobs_folder, wait_for_lock

FORMAT = 3
"""Of the database; a later one is for a later local_mode to read."""
_BUSY_SECONDS = 30
"""A write takes milliseconds; who waits this long waits for something that hangs."""
TABLES = {
    "jobs": {
        "name": "TrainingJobName",
        "arn": "TrainingJobArn",
        "created": "CreationTime",
        "modified": "LastModifiedTime",
        "ended": "TrainingEndTime",
        "status": "TrainingJobStatus",
        "secondary": "SecondaryStatus",
    },
    "tuning_jobs": {
        "name": "HyperParameterTuningJobName",
        "arn": "HyperParameterTuningJobArn",
        "created": "CreationTime",
        "modified": "LastModifiedTime",
        "status": "HyperParameterTuningJobStatus",
    },
}
"""Tables of records: their columns, and the members of a record that these repeat."""
# Each index has all that List shows, so that a list of ten thousand jobs never touches their documents.
_JOBS = """
CREATE TABLE jobs (name TEXT PRIMARY KEY, arn TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, ended REAL,
                   status TEXT NOT NULL, secondary TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX by_name ON jobs (name, arn, created, modified, ended, status, secondary);
CREATE INDEX by_created ON jobs (created, name, arn, modified, ended, status, secondary);
CREATE INDEX by_status ON jobs (status, name, arn, created, modified, ended, secondary);
CREATE INDEX by_arn ON jobs (arn);
CREATE TABLE curves (name TEXT PRIMARY KEY, document TEXT NOT NULL);
"""
_TUNING = """
CREATE TABLE tuning_jobs (name TEXT PRIMARY KEY, arn TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
                          status TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE trials (tuning_job TEXT NOT NULL, number INTEGER NOT NULL, document TEXT NOT NULL,
                     PRIMARY KEY (tuning_job, number));
"""
_EXPERIMENTS = """
CREATE TABLE entities (kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE associations (trial TEXT NOT NULL, component TEXT NOT NULL, PRIMARY KEY (trial, component));
"""
_STEPS = (_JOBS, _TUNING, _EXPERIMENTS)
"""What each format has more than the one before it."""
_FULL = sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE
_BROKEN = sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT
_KEY_BITS = 0xFF
"""An extended error code's primary one."""
_writes = threading.Lock()
"""Of this process's threads: they take turns, while SQLite lets those who wait try again at longer and longer times."""
Document = dict[str, Any]
TRIALS = "Trials"
"""The member of a tuning job's file that its record has not."""


class StoreError(LocalModeError):
    """The database of jobs cannot be read or written; the text says what to do."""


class Database:
    """The database of one root folder. It holds nothing open between two calls, but for who asks for that."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.path = root / "jobs.db"

    def check(self) -> None:
        """Make the database if there is none, and look whether it is whole.

        Raises:
            StoreError: it is not, or a newer local_mode wrote it.
        """
        with self.open() as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreError(self._broken(str(found)))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep it open meanwhile, by a connection that does nothing: writes take a third of the time.

        Whoever is the last to close a database brings its log into it, and waits for the disk three times more.

        Raises:
            StoreError: the database cannot be used.
        """
        with contextlib.ExitStack() as stack:
            with self.open():  # which makes it, and tells what is wrong with it
                _look(stack.enter_context(_connect(self.path)))
            yield

    @contextlib.contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction: all that is done with it is there afterwards, or nothing.

        What is not `durable` may be gone after the machine's fall, not after the process's; it waits for no disk.

        Raises:
            StoreError: it cannot be written.
        """
        with _writes, self.open() as database:
            if not durable:
                database.execute("PRAGMA synchronous = NORMAL")
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")  # what does not come here is rolled back when the connection closes

    @contextlib.contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call's own: none is shared by threads, and none is left open by a caller that goes.

        Raises:
            StoreError: the database cannot be used.
        """
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
        version = _format(database)
        if version > FORMAT:
            raise StoreError(
                f"{self.path} is of format {version}, written by a newer local_mode; this one reads up to {FORMAT}. "
                "Install that version again, or give another folder in --root."
            )
        if version < 1:
            raise StoreError(self._broken(f"it has format {version}, which no local_mode wrote"))
        if version < FORMAT:
            database.execute("BEGIN IMMEDIATE")
            _bring_up(database, _format(database))  # another process may have been first
            database.execute("COMMIT")

    def _make(self) -> None:
        """A database with all that lies in files, whole or not at all, and made by one of those who want it."""
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
                _bring_up(database, 0)
                _fill(database, self._root)
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
            "the next one makes it anew from the files of each job that ended."
        )


def put(database: sqlite3.Connection, table: str, document: Document) -> None:
    """Write a record, new or changed."""
    columns = TABLES[table]
    values = [*(document.get(member) for member in columns.values()), json.dumps(document, allow_nan=False)]
    marks = ", ".join("?" * len(values))
    database.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}, document) VALUES ({marks})", values)  # noqa: S608  # our own words


def get(database: sqlite3.Connection, table: str, name: str) -> Document | None:
    """A record; None where there is none."""
    row = database.execute(f"SELECT document FROM {table} WHERE name = ?", (name,)).fetchone()  # noqa: S608  # as above
    return json.loads(row[0]) if row else None


def put_trial(database: sqlite3.Connection, tuning_job: str, number: int, document: Document) -> None:
    """Write one of a tuning job's trials, new or changed."""
    values = (tuning_job, number, json.dumps(document, allow_nan=False))
    database.execute("INSERT OR REPLACE INTO trials VALUES (?, ?, ?)", values)


def tuning_file(root: Path, name: str) -> Path:
    """What a tuning job leaves: its record and its trials."""
    return root / "tuning" / f"{name}.json"


def _fill(database: sqlite3.Connection, root: Path) -> None:
    """Put in what lies in files alone: of a root older than its database, or one whose database is gone."""
    folder = jobs_folder(root)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        document = _read(JobFolder(path=path).record)
        if document.get("TrainingJobName") == path.name:
            put(database, "jobs", document)
    for path in sorted(tuning_file(root, "*").parent.glob("*.json")):
        document = _read(path)
        trials = document.pop(TRIALS, ())
        if document.get("HyperParameterTuningJobName") == path.stem:
            put(database, "tuning_jobs", document)
            for number, trial in enumerate(trials, 1):
                put_trial(database, path.stem, number, trial)


def _read(path: Path) -> Document:
    """The JSON object in a file; an empty one where there is none, as its maker may have been killed before it."""
    with contextlib.suppress(OSError, ValueError):
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            return document
    return {}


def _look(database: sqlite3.Connection) -> None:
    """Read anything: a connection opens its files only then."""
    database.execute("SELECT 1 FROM jobs LIMIT 1").fetchone()


def _format(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _bring_up(database: sqlite3.Connection, version: int) -> None:
    """Make the tables of all formats that came after `version`."""
    for step in _STEPS[version:]:
        for statement in filter(str.strip, step.split(";")):
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {FORMAT}")


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
