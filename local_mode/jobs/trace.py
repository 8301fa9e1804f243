"""What is kept of a job's course: its metrics and its channels over time, and the verdict at the end."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local_mode.channels.gauge import Spent
from local_mode.channels.plan import ChannelPlan
from local_mode.channels.sources import SourceObject
from local_mode.jobs.listener import Listener
from local_mode.jobs.store import Store, StoreError
from local_mode.jobs.summary import Summary
from local_mode.jobs.verdict import Channel, verdict

EXTRA = "LocalMode"
"""The member of a record that SageMaker's has not: Verdict, and Channels by name."""
MARK = "[local_mode]"
"""What begins a line of a log that the program did not write."""
_POINTS = 600
"""Of a curve; as many as a wide screen has columns to show it."""
_STORE_SECONDS = 10.0
"""Between two writes of a running job's curves: so much of them goes with a local_mode that is killed."""


class Curve:
    """Points over time, thinned evenly when they are too many; the first and the last are always there."""

    def __init__(self, most: int = _POINTS) -> None:
        self._most, self._every, self._skipped = most, 1, 0
        self._kept: list[tuple[float, float]] = []
        self._last: tuple[float, float] | None = None

    def add(self, at: float, value: float) -> None:
        """Take a point; times do not fall."""
        self._last = (at, value)
        if self._skipped + 1 < self._every and self._kept:
            self._skipped += 1
            return
        self._skipped = 0
        self._kept.append(self._last)
        if len(self._kept) >= self._most:
            self._kept, self._every = self._kept[::2], self._every * 2

    def points(self) -> list[tuple[float, float]]:
        """All points that are kept, in order."""
        last = [self._last] if self._last is not None and self._last not in self._kept[-1:] else []
        return [*self._kept, *last]


class Trace:
    """Of one job. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        name: str,
        plans: Mapping[str, Sequence[ChannelPlan]],
        listener: Listener,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`plans` are the channels of every host, by its name."""
        self._store, self._name, self._listener, self._clock = store, name, listener, clock
        self._plans = plans
        self._lock = threading.Lock()
        self._metrics: dict[str, Curve] = {}
        self._summaries: dict[str, Summary] = {}
        self._channels: dict[str, Curve] = {}
        self._sent: dict[str, tuple[int, Spent]] = {}
        self._stored = clock()

    def metric(self, name: str, value: float, at: float) -> None:
        """Take a point of a metric, seen at `at` (seconds since 1970), and hand it on."""
        with self._lock:
            self._metrics.setdefault(name, Curve()).add(at, value)
            self._summaries.setdefault(name, Summary()).add(value, at)
        self._listener.metric(name, value, at)
        self._store_now_and_then()

    def progress(self, channel: str, epoch: int, bytes_sent: int, spent: Spent, host: str) -> None:
        """Take the progress of a host's Pipe channel, and hand it on."""
        name = self._label(channel, host)
        with self._lock:
            self._channels.setdefault(name, Curve()).add(self._clock(), bytes_sent)
            self._sent[name] = (bytes_sent, spent)
        self._listener.progress(channel, epoch, bytes_sent, host)
        self._store_now_and_then()

    def curves(self) -> dict[str, Any]:
        """Metrics and Channels: by name, points of time (seconds since 1970) and value (bytes of a channel).

        Summaries: by metric, what all its points come to.
        """
        with self._lock:
            return {
                "Metrics": {name: curve.points() for name, curve in self._metrics.items()},
                "Channels": {name: curve.points() for name, curve in self._channels.items()},
                "Summaries": {name: asdict(summary) for name, summary in self._summaries.items()},
            }

    def conclude(self, description: dict[str, Any], log: Path) -> dict[str, Any]:
        """Say the verdict, to the listener and as the log's last line; the fields that the record has more for it."""
        channels = [self._channel(plan, host) for host, plans in self._plans.items() for plan in plans]
        text = verdict(description["SecondaryStatusTransitions"], channels, now=self._clock())
        sent = {name: {"Bytes": count, **_named(spent)} for name, (count, spent) in self._sent.items()}
        self._write()
        self._listener.note(f"verdict: {text}")
        try:
            _append(log, f"{MARK} verdict: {text}\n")
        except OSError as error:
            self._listener.note(f"the verdict is not in {log}: {error.strerror}")
        return {EXTRA: {"Verdict": text, "Channels": sent, "Data": self._data()}}

    def _data(self) -> dict[str, Any]:
        """What every channel had, over all hosts: a checksum of the names, sizes and tags of its objects."""
        objects: dict[str, dict[str, SourceObject]] = {}
        for plans in self._plans.values():
            for plan in plans:
                objects.setdefault(plan.spec.name, {}).update({each.key: each for each in plan.objects})
        found = {}
        for name, listed in objects.items():
            digest = hashlib.sha256()
            for key in sorted(listed):
                digest.update(f"{listed[key].name}\0{listed[key].size}\0{listed[key].tag}\n".encode())
            size = sum(each.size for each in listed.values())
            found[name] = {"Objects": len(listed), "Bytes": size, "Sha256": digest.hexdigest()}
        return found

    def _label(self, channel: str, host: str) -> str:
        """What a channel is called; of one of several hosts, with that host's name."""
        return channel if len(self._plans) == 1 else f"{channel} of {host}"

    def _channel(self, plan: ChannelPlan, host: str) -> Channel:
        spec, name = plan.spec, self._label(plan.spec.name, host)
        count, spent = self._sent.get(name, (0, Spent()))
        return Channel(
            name=name,
            mode=spec.mode,
            objects=len(plan.objects),
            size=plan.size,
            gzip=spec.compression == "Gzip",
            record_io=spec.record_wrapper == "RecordIO",
            sent=count,
            spent=spent,
        )

    def _store_now_and_then(self) -> None:
        with self._lock:
            due = self._clock() - self._stored >= _STORE_SECONDS
            if due:
                self._stored = self._clock()
        if due:
            self._write()

    def _write(self) -> None:
        try:
            self._store.put_curves(self._name, self.curves())
        except StoreError as error:
            self._listener.note(f"the job's curves are not kept: {error}")


def _named(spent: Spent) -> dict[str, float]:
    return {f"Seconds{key.capitalize()}": value for key, value in asdict(spent).items()}


def _append(log: Path, line: str) -> None:
    """On a line of its own, whatever the program left open."""
    with log.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                line = f"\n{line}"
        file.write(line.encode())
