"""Sends what is written down of jobs to MLflow: a process of its own, so that no job waits for that.

    python -m local_mode.tracking.sender ROOT      MLFLOW_TRACKING_URI says where to; ends with standard input

What it has to say goes to standard output, a line each; standard error is for MLflow's own words.
"""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from local_mode.errors import LocalModeError, RunRefusedError
from local_mode.jobs.database import Database, get
from local_mode.tracking.spool import Entry, Parents, Sent, entries, spool_folder
from local_mode.tracking.translation import (
    RunPlan,
    artifacts,
    end_of_job,
    end_of_tuning_job,
    metric_name,
    of_job,
    of_tuning_job,
)

LAST_SECONDS = 30.0
"""For what is left when standard input ends, an import and a new store included; the rest goes with the next."""
_LOOK_SECONDS = 1.0
_PAUSES = (2.0, 5.0, 15.0, 30.0)
"""Between attempts while MLflow does not answer."""
_RUN_ID = "MLFLOW_RUN_ID"
_REFUSED = ".refused"
Document = dict[str, Any]


class Runs(Protocol):
    """What is needed of MLflow; `local_mode.tracking.runs` has it."""

    def begin(self, plan: RunPlan, *, run: str = "", parent: str = "") -> str:
        """The id of a plan's run."""
        ...

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        ...

    def points(self, run: str, points: list[tuple[str, float, float, int]]) -> None:
        """Add points to a run."""
        ...

    def link(self, run: str, artifacts: Mapping[str, Path]) -> None:
        """Show files of this machine."""
        ...

    def end(self, run: str, status: str, at: float) -> None:
        """End a run."""
        ...


class Sender:
    """Of one root folder, to one MLflow."""

    def __init__(self, root: Path, uri: str, connect: Callable[[], Runs]) -> None:
        """`connect` loads MLflow, when there is something to be sent."""
        self._root, self._uri, self._connect = root, uri, connect
        self._database = Database(root)
        self._runs: Runs | None = None
        self._parents = Parents(root, uri)

    def send(self, note: Callable[[str], None]) -> bool:
        """Send what there is; whether all of it is sent, so that only what comes later is left.

        Raises:
            LocalModeError: MLflow does not answer or cannot write; or the database of jobs cannot be read.
            OSError: what is sent cannot be written down.
        """
        found = entries(self._root)
        if not found and not self._parents:
            return True
        if self._runs is None:
            self._runs = self._connect()
        over = [self._one(self._runs, entry, note) for entry in found]
        self._end_parents(self._runs, note)
        return all(over) and not self._parents

    def _one(self, runs: Runs, entry: Entry, note: Callable[[str], None]) -> bool:
        try:
            return self._job(runs, entry)
        except RunRefusedError as error:
            aside = entry.path.with_suffix(_REFUSED)
            entry.path.replace(aside)
            entry.remove()
            note(f"MLflow does not take job {entry.job}: {error}; its lines are kept in {aside}")
            return True

    def _job(self, runs: Runs, entry: Entry) -> bool:
        record = self._record("jobs", entry.job)
        if record is None or round(record["CreationTime"] * 1000) != int(entry.created):
            return self._orphan(runs, entry)  # its owner deleted the job
        end = end_of_job(record)  # asked first: what is read after it is all there is
        sent = self._begun(runs, entry, record)
        while True:
            lines, offset = entry.read(sent.offset)
            if not lines and offset == sent.offset:
                break
            self._lines(runs, sent.run, lines)
            sent = replace(sent, offset=offset)
            entry.keep(sent)
        if end is None:
            return False
        status, at, tags = end
        runs.tag(sent.run, tags)
        runs.link(sent.run, artifacts(self._root, entry.job))
        runs.end(sent.run, status, at)
        entry.remove()
        return True

    def _begun(self, runs: Runs, entry: Entry, record: Document) -> Sent:
        sent = entry.sent
        if sent.run and sent.uri == self._uri:
            return sent
        plan = of_job(record)
        parent = self._parent(runs, record.get("TuningJobArn") or "", plan.experiment)
        named = (record.get("Environment") or {}).get(_RUN_ID) or ""
        begun = Sent(uri=self._uri, run=runs.begin(plan, run=named, parent=parent))
        entry.keep(begun)
        return begun

    def _lines(self, runs: Runs, run: str, lines: list[Document]) -> None:
        points = [
            (metric_name(line["metric"]), line["value"], line["at"], line["step"]) for line in lines if "metric" in line
        ]
        facts: dict[str, str] = {}
        for line in lines:
            facts |= line.get("facts") or {}
        if points:
            runs.points(run, points)
        if facts:
            runs.tag(run, facts)

    def _orphan(self, runs: Runs, entry: Entry) -> bool:
        sent = entry.sent
        if sent.run and sent.uri == self._uri:
            runs.end(sent.run, "KILLED", time.time())
        entry.remove()
        return True

    def _parent(self, runs: Runs, arn: str, experiment: str) -> str:
        if arn and not self._parents.get(arn):
            record = self._tuning_job(arn)
            if record is None:
                return ""
            self._parents.add(arn, runs.begin(of_tuning_job(record, experiment)))
        return self._parents.get(arn)

    def _end_parents(self, runs: Runs, note: Callable[[str], None]) -> None:
        for arn, run in self._parents.items():
            record = self._tuning_job(arn)
            end = end_of_tuning_job(record) if record else ("KILLED", time.time(), {})
            if end is None:
                continue
            status, at, tags = end
            try:
                runs.tag(run, tags)
                runs.end(run, status, at)
            except RunRefusedError as error:
                note(f"MLflow does not take the end of tuning job {arn.rpartition('/')[2]}: {error}")
            self._parents.remove(arn)

    def _record(self, table: str, name: str) -> Document | None:
        with self._database.open() as database:
            return get(database, table, name)

    def _tuning_job(self, arn: str) -> Document | None:
        with self._database.open() as database:
            row = database.execute("SELECT name FROM tuning_jobs WHERE arn = ?", (arn,)).fetchone()
            return get(database, "tuning_jobs", row[0]) if row else None


def follow(sender: Sender, over: threading.Event, note: Callable[[str], None], target: str) -> None:
    """Send until it is over, and then what is left, for some seconds. Of an outage one warning is given."""
    failed = 0
    deadline = float("inf")
    while True:
        if over.is_set() and deadline == float("inf"):
            deadline = time.monotonic() + LAST_SECONDS
        ends = over.is_set()
        try:
            done = sender.send(note)
            if failed:
                note(f"MLflow at {target} answers again; what was kept is sent")
            failed = 0
        except (LocalModeError, OSError) as error:
            done = False
            if not failed:
                note(
                    f"MLflow at {target} does not take what jobs report ({error}); they go on, and it is kept till then"
                )
            failed += 1
        if ends and (done or failed or time.monotonic() > deadline):
            return
        if ends:
            time.sleep(_LOOK_SECONDS)
        else:
            over.wait(_PAUSES[min(failed, len(_PAUSES)) - 1] if failed else _LOOK_SECONDS)


def hold(root: Path) -> int | None:
    """Take the place of a root folder's only sender; None when another has it.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = spool_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder / "sender.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def await_turn(root: Path, over: threading.Event, note: Callable[[str], None]) -> bool:
    """Whether this is a root folder's sender now; the one of a service that was killed ends within seconds."""
    told_at = time.monotonic() + LAST_SECONDS
    while hold(root) is None:
        if time.monotonic() > told_at:
            note("another local_mode sends what this one's jobs report; this one does when that ends")
            told_at = float("inf")
        if over.wait(_LOOK_SECONDS):
            return False
    return True


def main() -> int:
    """Send, until standard input ends."""
    root, uri = Path(sys.argv[1]).resolve(), os.environ["MLFLOW_TRACKING_URI"]
    os.nice(10)  # jobs come first
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over,), daemon=True, name="input").start()
    if not await_turn(root, over, _say):
        return 0

    def connect() -> Runs:
        from local_mode.tracking import runs  # noqa: PLC0415  # seconds, which are spent when there is something to send

        return runs.Runs(uri)

    follow(Sender(root, uri, connect), over, _say, shown(uri))
    return 0


def shown(uri: str) -> str:
    """A URI without a password."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _say(text: str) -> None:
    print(text, flush=True)


def _await_end(over: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    over.set()


if __name__ == "__main__":
    sys.exit(main())
