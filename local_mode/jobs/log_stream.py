"""Sends a job's log lines on to a log service, a few at a time, without ever holding the job up."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

GROUP = "/aws/sagemaker/TrainingJobs"
_BATCH = 1000
_WAITING = 100_000
"""Lines that may wait to be sent."""
_EVENT_CHARACTERS = 256 * 1024
Send = Callable[[str, str, list[dict[str, Any]]], None]
"""Called with log group, stream and events (timestamp in ms, message); an empty list makes the stream."""


class LogStream:
    """Follows one job: its lines become events of the stream `<job>/algo-1-<unix time>`, from Training on."""

    def __init__(self, job_name: str, send: Send, note: Callable[[str], None]) -> None:
        self._name, self._send, self._note = job_name, send, note
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._dropped = 0

    def line(self, text: bytes) -> None:
        """Send a line on; drop it when the log service is far behind: the log file has it."""
        message = text.decode("utf-8", "replace").rstrip("\r\n")[:_EVENT_CHARACTERS]
        try:
            # CloudWatch takes no empty message.
            self._lines.put_nowait({"timestamp": int(time.time() * 1000), "message": message or " "})
        except queue.Full:
            self._dropped += 1

    def status(self, secondary: str, message: str) -> None:
        """Begin with Training, end with the job."""
        self._note(f"{self._name}: {secondary} - {message}")
        if secondary == "Training" and self._thread is None:
            stream = f"{self._name}/algo-1-{int(time.time())}"
            self._send(GROUP, stream, [])
            self._thread = threading.Thread(target=self._pump, args=(stream,), daemon=True, name="log-stream")
            self._thread.start()
        elif secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded") and self._thread:
            self._lines.put(None)

    def progress(self, channel: str, epoch: int, bytes_sent: int) -> None:
        """Drop progress."""

    def note(self, text: str) -> None:
        """Hand a note to whoever runs the service."""
        self._note(f"{self._name}: {text}")

    def _pump(self, stream: str) -> None:
        more = True
        while more:
            events = [self._lines.get()]
            while len(events) < _BATCH and not self._lines.empty():
                events.append(self._lines.get())
            more = events[-1] is not None
            if sent := [event for event in events if event is not None]:
                self._send(GROUP, stream, sent)
        if self._dropped:
            self._note(f"{self._name}: {self._dropped} lines are missing in its log stream; its log file has them")
