"""Experiments, trials, trial components and what belongs to what, in the database of jobs.

Safe to use from several threads and several processes at once.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_mode.jobs.database import Database

Document = dict[str, Any]
EXPERIMENT, TRIAL, COMPONENT = "experiment", "experiment-trial", "experiment-trial-component"
"""Kinds, as they are in ARNs."""


class Entities:
    """Those of one root folder, as they are within one transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def get(self, kind: str, name: str) -> Document | None:
        """One of them; None where there is none."""
        found = self._database.execute("SELECT document FROM entities WHERE kind = ? AND name = ?", (kind, name))
        row = found.fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str) -> list[Document]:
        """All of a kind, oldest first."""
        rows = self._database.execute("SELECT document FROM entities WHERE kind = ? ORDER BY rowid", (kind,))
        return [json.loads(row[0]) for row in rows]

    def put(self, kind: str, name: str, document: Document) -> None:
        """Write one, new or changed; its place among the others stays."""
        statement = (
            "INSERT INTO entities VALUES (?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document"
        )
        self._database.execute(statement, (kind, name, json.dumps(document, allow_nan=False)))

    def remove(self, kind: str, name: str) -> None:
        """Forget one."""
        self._database.execute("DELETE FROM entities WHERE kind = ? AND name = ?", (kind, name))

    def associate(self, trial: str, component: str) -> None:
        """Let a component belong to a trial; nothing when it does."""
        self._database.execute("INSERT OR IGNORE INTO associations VALUES (?, ?)", (trial, component))

    def disassociate(self, trial: str, component: str) -> None:
        """Let it no longer."""
        self._database.execute("DELETE FROM associations WHERE trial = ? AND component = ?", (trial, component))

    def trials_of(self, component: str) -> list[str]:
        """The trials that a component belongs to."""
        rows = self._database.execute("SELECT trial FROM associations WHERE component = ? ORDER BY rowid", (component,))
        return [row[0] for row in rows]

    def components_of(self, trial: str) -> list[str]:
        """The components that belong to a trial."""
        rows = self._database.execute("SELECT component FROM associations WHERE trial = ? ORDER BY rowid", (trial,))
        return [row[0] for row in rows]


class ExperimentStore:
    """Transactions on the entities of one root folder."""

    def __init__(self, root: Path) -> None:
        self._database = Database(root)

    @contextmanager
    def reading(self) -> Iterator[Entities]:
        """For looking only.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._database.open() as database:
            yield Entities(database)

    @contextmanager
    def writing(self) -> Iterator[Entities]:
        """All that is done is there afterwards, or nothing of it.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._database.writing() as database:
            yield Entities(database)
