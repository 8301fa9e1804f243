"""The training jobs of a root folder in its database: what Describe answers, and what List filters and sorts by.

Safe to use from several threads and several processes at once.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.jobs.database import FORMAT, TABLES, Database, StoreError, get, put

__all__ = ["FORMAT", "Place", "Query", "Store", "StoreError"]
_SUMMARY = TABLES["jobs"]
_COLUMNS = ", ".join(_SUMMARY)
Document = dict[str, Any]
Place = tuple[Any, str]
"""Where a job stands in an order: the value that is sorted by, and its name."""


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
    """The training jobs of one root folder."""

    def __init__(self, root: Path) -> None:
        self.database = Database(root)
        self.path = self.database.path

    def put(self, document: Document, *, durable: bool = True) -> None:
        """Write a job's record, new or changed; a process killed at any moment leaves the old one or the new one.

        A `durable` one survives the machine's fall as well.

        Raises:
            StoreError: it cannot be written.
        """
        with self.database.writing(durable=durable) as database:
            put(database, "jobs", document)

    def get(self, name: str) -> Document | None:
        """A job's record; None where there is none.

        Raises:
            StoreError: the database cannot be read.
        """
        with self.database.open() as database:
            return get(database, "jobs", name)

    def remove(self, name: str) -> None:
        """Forget a job.

        Raises:
            StoreError: the database cannot be written.
        """
        with self.database.writing() as database:
            database.execute("DELETE FROM jobs WHERE name = ?", (name,))
            database.execute("DELETE FROM curves WHERE name = ?", (name,))

    def put_curves(self, name: str, document: Document) -> None:
        """Write how a job's metrics and channels went over time; at its end before its record, which makes it durable.

        Raises:
            StoreError: it cannot be written.
        """
        with self.database.writing(durable=False) as database:
            database.execute("INSERT OR REPLACE INTO curves VALUES (?, ?)", (name, json.dumps(document)))

    def curves(self, name: str) -> Document | None:
        """What `put_curves` wrote; None where nothing was.

        Raises:
            StoreError: the database cannot be read.
        """
        with self.database.open() as database:
            row = database.execute("SELECT document FROM curves WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def find(self, query: Query) -> list[Document]:
        """Summaries of the jobs that a query asks for: the members that List shows.

        Raises:
            StoreError: the database cannot be read.
        """
        with self.database.open() as database:
            rows = database.execute(*selection(_COLUMNS, "jobs", query)).fetchall()
        members = _SUMMARY.values()
        return [{key: value for key, value in zip(members, row, strict=True) if value is not None} for row in rows]

    def count(self, query: Query) -> dict[str, int]:
        """How many jobs of each status a query's filters leave; its status, order and limit do not count.

        Raises:
            StoreError: the database cannot be read.
        """
        clause, values = _where(query, with_status=False)
        with self.database.open() as database:
            statement = f"SELECT status, count(*) FROM jobs WHERE {clause} GROUP BY status"  # noqa: S608  # as above
            return dict(database.execute(statement, values).fetchall())

    def check(self) -> None:
        """Make the database if there is none, and look whether it is whole.

        Raises:
            StoreError: it is not, or a newer local_mode wrote it.
        """
        self.database.check()


def selection(columns: str, table: str, query: Query) -> tuple[str, tuple[Any, ...]]:
    """What a query asks for of a table of records, as SQL, and the values for its question marks."""
    clause, values = _where(query)
    way = "DESC" if query.backwards else "ASC"
    order = ", ".join(f"{column} {way}" for column in dict.fromkeys((query.sort, "name")))
    statement = (
        f"SELECT {columns} FROM {table} WHERE {clause} "  # noqa: S608  # our own words; values are bound
        f"ORDER BY {order} LIMIT ? OFFSET ?"
    )
    return statement, (*values, query.limit, query.skip)


def _where(query: Query, *, with_status: bool = True) -> tuple[str, list[Any]]:
    """A query's filters as SQL, and the values for its question marks."""
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
