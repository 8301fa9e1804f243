"""What is written down of jobs until MLflow has it: a file of lines for each job, and how far they are sent.

The job appends, the sender reads and removes; neither waits for the other.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20
"""Of one job: half a million points."""
_PENDING_BYTES = 1 << 20
"""Kept in memory while the disk takes nothing."""
_BATCH_BYTES = 256 << 10
Line = Mapping[str, Any]


def spool_folder(root: Path) -> Path:
    """Where the lines of a root folder's jobs are."""
    return root / "tracking"


class Lines:
    """Lines of one job, written as they come. Safe to use from several threads; raises nothing."""

    def __init__(self, path: Path, most: int = MOST_BYTES) -> None:
        self.path, self._most = path, most
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._pending = b""
        self.problem = ""
        """Why the last line is not on disk; empty when it is."""
        self.is_full = False

    def add(self, line: Line) -> None:
        """Write a line; what cannot be written now goes with the next, as much of it as memory is given to."""
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        with self._lock:
            if self._size + len(self._pending) + len(data) > self._most:
                self.is_full = True
            elif len(self._pending) + len(data) <= _PENDING_BYTES:
                self._pending += data
                self._write()

    def close(self) -> None:
        """No more lines come."""
        with self._lock:
            self._write()
            if self._file >= 0:
                os.close(self._file)
            self._file, self._most = -1, 0

    def _write(self) -> None:
        try:
            if self._file < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            while self._pending:
                written = os.write(self._file, self._pending)
                self._size, self._pending = self._size + written, self._pending[written:]
            self.problem = ""
        except OSError as error:
            self.problem = f"cannot write {self.path}: {error.strerror}"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """How far a job's lines are sent, and to which run."""

    uri: str = ""
    run: str = ""
    offset: int = 0


class Entry:
    """A job's lines, as the sender sees them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job, _, self.created = path.stem.rpartition("@")
        """The job's name, and when it was created in ms: a name may be another job's later."""
        self._state = path.with_suffix(".json")

    @property
    def sent(self) -> Sent:
        """How far they are sent."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Sent(**json.loads(self._state.read_text(encoding="utf-8")))
        return Sent()

    def keep(self, sent: Sent) -> None:
        """Write down how far they are sent.

        Raises:
            OSError: it cannot be written.
        """
        _replace(self._state, vars(sent))

    def read(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Some whole lines from an offset on, and where they end.

        Raises:
            OSError: they cannot be read.
        """
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(_BATCH_BYTES)
        data = data[: data.rfind(b"\n") + 1]
        return list(_read(data)), offset + len(data)

    def remove(self) -> None:
        """All of it is sent, or nothing of it ever will be."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)


class Parents:
    """The runs of tuning jobs that are not over, at one MLflow, by the ARNs of these."""

    def __init__(self, root: Path, uri: str) -> None:
        """Those that a sender before this one began there."""
        self._path, self._uri = spool_folder(root) / "parents.json", uri
        self._runs: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["uri"] == uri:
                self._runs = dict(kept["runs"])

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._runs)

    def items(self) -> list[tuple[str, str]]:
        """ARN and run of each."""
        return list(self._runs.items())

    def get(self, arn: str) -> str:
        """The run of one; empty if it has none that is not over."""
        return self._runs.get(arn, "")

    def add(self, arn: str, run: str) -> None:
        """Write a run down.

        Raises:
            OSError: it cannot be written.
        """
        self._runs[arn] = run
        self._keep()

    def remove(self, arn: str) -> None:
        """It is over.

        Raises:
            OSError: that cannot be written.
        """
        del self._runs[arn]
        self._keep()

    def _keep(self) -> None:
        _replace(self._path, {"uri": self._uri, "runs": self._runs})


def entries(root: Path) -> list[Entry]:
    """Those that are not sent to their end, oldest first."""
    found = [Entry(path) for path in spool_folder(root).glob("*@*.lines")]
    return sorted(found, key=lambda entry: int(entry.created))


def place(root: Path, job: str, created: float) -> Path:
    """Where the lines of a job are; `created` is in seconds since 1970."""
    return spool_folder(root) / f"{job}@{round(created * 1000)}.lines"


def _replace(path: Path, document: Mapping[str, object]) -> None:
    """Write a document whole, or leave the one that is there."""
    half = path.with_suffix(".part")
    half.write_text(json.dumps(document), encoding="utf-8")
    half.replace(path)


def _read(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        with contextlib.suppress(ValueError):  # half a line, of a writer that was killed and another that went on
            document = json.loads(line)
            if isinstance(document, dict):
                yield document
