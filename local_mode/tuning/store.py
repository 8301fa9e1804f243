"""The tuning jobs of a root folder in its database: their records, and the trials of each.

Safe to use from several threads and several processes at once.
"""

import json
import os
from pathlib import Path
from typing import Any

from local_mode.jobs.database import TRIALS, Database, get, put, put_trial, tuning_file
from local_mode.jobs.store import Query, selection
from local_mode.tuning.trial import Trial

Document = dict[str, Any]


class TuningStore:
    """The tuning jobs of one root folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._database = Database(root)

    def put(self, document: Document, trial: Trial | None = None) -> None:
        """Write a tuning job's record, new or changed, and one of its trials with it.

        Raises:
            StoreError: it cannot be written.
        """
        with self._database.writing() as database:
            put(database, "tuning_jobs", document)
            if trial:
                put_trial(database, document["HyperParameterTuningJobName"], trial.number, trial.write())

    def get(self, name: str) -> Document | None:
        """A tuning job's record; None where there is none.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._database.open() as database:
            return get(database, "tuning_jobs", name)

    def find(self, query: Query) -> list[Document]:
        """The records of the tuning jobs that a query asks for.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._database.open() as database:
            rows = database.execute(*selection("document", "tuning_jobs", query))
            return [json.loads(row[0]) for row in rows]

    def put_trial(self, tuning_job: str, trial: Trial) -> None:
        """Write one of a tuning job's trials, new or changed.

        Raises:
            StoreError: it cannot be written.
        """
        with self._database.writing() as database:
            put_trial(database, tuning_job, trial.number, trial.write())

    def remove_trial(self, tuning_job: str, trial: Trial) -> None:
        """Forget a trial that was never started.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._database.writing() as database:
            database.execute("DELETE FROM trials WHERE tuning_job = ? AND number = ?", (tuning_job, trial.number))

    def trials(self, tuning_job: str) -> list[Trial]:
        """All trials of a tuning job, in order.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._database.open() as database:
            statement = "SELECT document FROM trials WHERE tuning_job = ? ORDER BY number"
            return [Trial.read(json.loads(row[0])) for row in database.execute(statement, (tuning_job,))]

    def remove(self, name: str) -> None:
        """Forget a tuning job and its trials; its training jobs stay.

        Raises:
            StoreError: the database cannot be written.
        """
        tuning_file(self._root, name).unlink(missing_ok=True)  # first: what is left without it can be removed again
        with self._database.writing() as database:
            database.execute("DELETE FROM tuning_jobs WHERE name = ?", (name,))
            database.execute("DELETE FROM trials WHERE tuning_job = ?", (name,))

    def keep(self, document: Document, trials: list[Trial]) -> None:
        """Leave a file of a tuning job that has ended, of which the database can be made anew.

        Raises:
            OSError: it cannot be written.
        """
        path = tuning_file(self._root, document["HyperParameterTuningJobName"])
        path.parent.mkdir(exist_ok=True)
        half = path.with_name(f".{path.name}.part")
        with half.open("w", encoding="utf-8") as file:
            json.dump({**document, TRIALS: [trial.write() for trial in trials]}, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
