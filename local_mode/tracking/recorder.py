"""Follows one job and writes down what MLflow is to know of it; MLflow itself is nowhere near."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from local_mode.errors import LocalModeError
from local_mode.jobs.store import Store
from local_mode.tracking.spool import Lines, place

ENDS = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
"""Secondary statuses that no other follows."""


class Recorder:
    """A listener of a job. Costs it a few microseconds a point, whatever becomes of MLflow."""

    def __init__(self, root: Path, name: str, note: Callable[[str], None], begun: Callable[["Recorder"], None]) -> None:
        """`begun` is told when there is a job to be followed; it must not take long."""
        self._root, self._name, self._note, self._begun = root, name, note, begun
        self._lock = threading.Lock()
        self._lines: Lines | None = None
        self._steps: Counter[str] = Counter()
        self._has_noted = False
        self.has_ended = False

    def line(self, text: bytes, host: str) -> None:
        """Nothing: the job's folder has its logs."""

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """Nothing: the job's curves have it."""

    def note(self, text: str) -> None:
        """Nothing: whoever started the job reads it."""

    def status(self, secondary: str, message: str) -> None:
        """Begin with the job, and end with it."""
        if secondary == "Starting" and self._lines is None:
            with contextlib.suppress(LocalModeError):  # the job itself tells of a database that cannot be read
                record = Store(self._root).get(self._name)
                if record is not None:
                    self._lines = Lines(place(self._root, self._name, record["CreationTime"]))
                    self._add({"begins": record["CreationTime"]})
                    self._begun(self)
        elif secondary in ENDS:
            self.has_ended = True
            if self._lines:
                self._lines.close()

    def metric(self, name: str, value: float, at: float) -> None:
        """A point; its step is its number among the points of its metric, from 1."""
        with self._lock:
            self._steps[name] += 1
            self._add({"metric": name, "value": value, "at": at, "step": self._steps[name]})

    def sample(self, values: Mapping[str, float]) -> None:
        """How busy the machine is, by the names of MLflow's system metrics."""
        at = time.time()
        for name, value in values.items():
            self.metric(name, value, at)

    def facts(self, found: Mapping[str, str]) -> None:
        """What was found out about the job beside its record."""
        self._add({"facts": dict(found)})

    def _add(self, line: Mapping[str, object]) -> None:
        if self._lines is None:
            return
        self._lines.add(line)
        why = self._lines.problem or ("its lines have reached their limit" if self._lines.is_full else "")
        if why and not self._has_noted:
            self._has_noted = True
            self._note(f"{self._name}: not all of it will be in MLflow: {why}; the job goes on")
