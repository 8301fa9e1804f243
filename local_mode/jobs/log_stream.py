"""Sends a job's log lines on to a log service, a few at a time, without ever holding the job up."""

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from local_mode.jobs.log_archive import Event, Row, message

GROUP = "/aws/sagemaker/TrainingJobs"
_BATCH = 1000
_WAITING = 100_000
"""Lines that may wait to be sent."""
_PATIENCE_SECONDS = 5
"""For a log service that is behind when a job ends."""
Send = Callable[[str, str, list[Event]], None]
"""Called with log group, stream and events (timestamp in ms, message); an empty list makes the stream."""
Keep = Callable[[str, list[Row]], None]
"""Called with a host, and rows for `log_archive`."""
_Lines = queue.Queue[tuple[str, int, Event] | threading.Event | None]
"""Events by host and where in its log they begin, flags to set when all before them are sent, and None at the end."""


class LogStream:
    """Follows one job: lines become events of their host's stream `<job>/algo-n-<unix time>`, from Training on.

    Each attempt of a job that is interrupted has streams of its own.
    """

    def __init__(
        self, job_name: str, send: Send, note: Callable[[str], None], *, hosts: Sequence[str], keep: Keep | None = None
    ) -> None:
        """`keep` notes what makes the streams again of the log files, for a service that is started anew."""
        self._name, self._hosts, self._send, self._note = job_name, hosts, send, note
        self._keep = keep
        self._at: Counter[str] = Counter()
        """Bytes that each host has said."""
        self._lines: _Lines = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._last_time = 0

    def line(self, text: bytes, host: str) -> None:
        """Send a line on; drop it when the log service is far behind: the log file has it."""
        event = {"timestamp": int(time.time() * 1000), "message": message(text)}
        offset = self._at[host]
        self._at[host] += len(text)
        try:
            self._lines.put_nowait((host, offset, event))
        except queue.Full:
            self._dropped += 1

    def status(self, secondary: str, message: str) -> None:
        """Begin with Training, end with the job."""
        self._note(f"{self._name}: {secondary} - {message}")
        if secondary == "Training" and self._thread is None:
            self._last_time = max(int(time.time()), self._last_time + 1)
            streams = {host: f"{self._name}/{host}-{self._last_time}" for host in self._hosts}
            for host, stream in streams.items():
                self._send(GROUP, stream, [])
                self._try_to_keep(host, [(self._at[host], stream)])
            arguments = (streams, self._lines)
            self._thread = threading.Thread(target=self._pump, args=arguments, daemon=True, name="log-stream")
            self._thread.start()
        elif secondary == "Starting" and self._thread:
            # An attempt is over; what comes now is the next one's.
            self._put(None)
            self._lines, self._thread = queue.Queue(_WAITING), None
        elif secondary == "Uploading" and self._thread:
            # The container is silent now. Whoever sees a job ended finds its last line in its stream.
            sent = threading.Event()
            self._put(sent)
            sent.wait(_PATIENCE_SECONDS)
        elif (
            secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
            and self._thread
        ):
            self._put(None)

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """Drop progress."""

    def metric(self, name: str, value: float, at: float) -> None:
        """Drop a point: the line it was in is sent."""

    def note(self, text: str) -> None:
        """Hand a note to whoever runs the service."""
        self._note(f"{self._name}: {text}")

    def _put(self, mark: threading.Event | None) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put(mark, timeout=_PATIENCE_SECONDS)

    def _pump(self, streams: dict[str, str], lines: _Lines) -> None:
        more = True
        while more:
            items = [lines.get()]
            while len(items) < _BATCH and not lines.empty():
                items.append(lines.get())
            for host, stream in streams.items():
                if mine := [item[1:] for item in items if isinstance(item, tuple) and item[0] == host]:
                    self._try_to_keep(host, _changes(mine))
                    self._try_to_send(stream, [event for _, event in mine])
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            more = None not in items
        if self._dropped:
            self._note(f"{self._name}: {self._dropped} lines are missing in its log stream; its log file has them")

    def _try_to_keep(self, host: str, rows: list[Row]) -> None:
        try:
            if self._keep:
                self._keep(host, rows)
        except OSError as error:
            self._keep = None
            text = f"its log streams will not outlive this process: cannot write {error.filename}: {error.strerror}"
            self._note(f"{self._name}: {text}")

    def _try_to_send(self, stream: str, events: list[Event]) -> None:
        try:
            self._send(GROUP, stream, events)
        except Exception as error:  # noqa: BLE001  # whatever a log service raises, the log file has the lines
            self._dropped += len(events)
            self._note(f"{self._name}: cannot write to its log stream: {type(error).__name__}: {error}")


def _changes(lines: list[tuple[int, Event]]) -> list[Row]:
    """Where the time becomes another one, in lines that follow one another."""
    rows: list[Row] = []
    for offset, event in lines:
        if not rows or rows[-1][1] != event["timestamp"]:
            rows.append((offset, event["timestamp"]))
    return rows
