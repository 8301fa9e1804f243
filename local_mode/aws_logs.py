"""CloudWatch Logs by moto, in memory: the streams of earlier processes come back when they are asked for."""

import functools
import io
import json
import threading
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import WSGIEnvironment

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.logs.models import LogEvent, LogGroup, LogsBackend, LogStream, logs_backends

from local_mode.jobs.log_archive import Archive, KeptStream
from local_mode.jobs.log_stream import GROUP

_TARGET = "Logs_20140328."
_BODY_BYTES = 1 << 20


class _Stream(LogStream):
    """A stream of an earlier process, whose lines stay on disk until someone reads them."""

    def __init__(self, group: LogGroup, kept: KeptStream) -> None:
        self._kept: KeptStream | None = kept
        super().__init__(group, kept.name)
        self.creation_time = datetime.fromtimestamp(kept.created / 1000, UTC).replace(tzinfo=None)
        self.last_ingestion_time = datetime.fromtimestamp(kept.last / 1000, UTC).replace(tzinfo=None)
        self.stored_bytes = kept.end - kept.begin

    @property
    def events(self) -> list[LogEvent]:
        """All of them."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._events = [LogEvent(kept.last, event) for event in kept.events()]
        return self._events

    @events.setter
    def events(self, events: list[LogEvent]) -> None:
        self._events = events

    def filter_log_events(self, start_time: int, end_time: int, filter_pattern: str) -> list[dict[str, Any]]:
        """Those of a time; a stream that ended before it is not read."""
        if self._kept is not None and self._kept.last < (start_time or 0):
            return []
        return super().filter_log_events(start_time, end_time, filter_pattern)


class Logs:
    """The streams of jobs: those that run now, and those that are kept. Safe to use from several threads."""

    def __init__(self, region: str, archive: Archive) -> None:
        self._region, self._archive = region, archive
        self._lock = threading.Lock()
        self._known: set[str] = set()
        """Jobs whose streams moto has."""

    @functools.cached_property
    def _backend(self) -> LogsBackend:
        return logs_backends[DEFAULT_ACCOUNT_ID][self._region]  # takes a fifth of a second, once in a process

    def put(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Add events (timestamp in ms, message) to a log stream, which is made with its group if need be."""
        with self._lock:
            self._known.add(stream.partition("/")[0])
            streams = self._group(group).streams
            if stream not in streams:
                self._backend.create_log_stream(group, stream)
            if events:
                self._backend.put_log_events(group, stream, events)

    def prepare(self, environ: WSGIEnvironment) -> None:
        """Have moto know the kept streams that a request is about, and take the request as AWS does."""
        target, length = environ.get("HTTP_X_AMZ_TARGET", ""), int(environ.get("CONTENT_LENGTH") or "0")
        if not target.startswith(_TARGET) or length > _BODY_BYTES:
            return
        body = environ["wsgi.input"].read()
        document = _read(body)
        self._recall(document)
        if target == f"{_TARGET}FilterLogEvents":
            body = json.dumps(self._filter(document)).encode()
            environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)

    def _recall(self, document: dict[str, Any]) -> None:
        asked = document.get("logGroupName") or str(document.get("logGroupIdentifier", GROUP)).rpartition(":")[2]
        if asked != GROUP:
            return
        names = document.get("logStreamNames") or [
            document.get("logStreamName") or document.get("logStreamNamePrefix") or ""
        ]
        with self._lock:
            for job in {job for name in names for job in self._archive.jobs(str(name))} - self._known:
                self._known.add(job)
                for kept in self._archive.streams(job):
                    group = self._group(GROUP)
                    group.streams[kept.name] = _Stream(group, kept)

    def _filter(self, document: dict[str, Any]) -> dict[str, Any]:
        """FilterLogEvents in moto's terms: it knows no prefix, and keeps the streams apart unless it is told not to."""
        prefix = document.pop("logStreamNamePrefix", None)
        if prefix:
            group = self._backend.groups.get(str(document.get("logGroupName")))
            found = [name for name in list(group.streams) if name.startswith(prefix)] if group else []
            document["logStreamNames"] = found or [prefix]  # none at all would be every stream
        return {**document, "interleaved": True}

    def _group(self, name: str) -> LogGroup:
        if name not in self._backend.groups:
            self._backend.create_log_group(name, {})
        return self._backend.groups[name]


def _read(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}  # moto says what is wrong with it
    return document if isinstance(document, dict) else {}
