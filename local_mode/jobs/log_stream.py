"""Sends a job's log lines on to a log service, a few at a time, without ever holding the job up."""

import contextlib
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
_PATIENCE_SECONDS = 5
"""For a log service that is behind when a job ends."""
Send = Callable[[str, str, list[dict[str, Any]]], None]
"""Called with log group, stream and events (timestamp in ms, message); an empty list makes the stream."""


class LogStream:
    """Follows one job: its lines become events of the stream `<job>/algo-1-<unix time>`, from Training on."""

    def __init__(self, job_name: str, send: Send, note: Callable[[str], None]) -> None:
        self._name, self._send, self._note = job_name, send, note
        self._lines: queue.Queue[dict[str, Any] | threading.Event | None] = queue.Queue(_WAITING)
        """Events, flags to set when all before them are sent, and None at the end."""
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
        elif secondary == "Uploading" and self._thread:
            # The container is silent now. Whoever sees a job ended finds its last line in its stream.
            sent = threading.Event()
            self._put(sent)
            sent.wait(_PATIENCE_SECONDS)
        elif secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded") and self._thread:
            self._put(None)

    def progress(self, channel: str, epoch: int, bytes_sent: int) -> None:
        """Drop progress."""

    def note(self, text: str) -> None:
        """Hand a note to whoever runs the service."""
        self._note(f"{self._name}: {text}")

    def _put(self, mark: threading.Event | None) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put(mark, timeout=_PATIENCE_SECONDS)

    def _pump(self, stream: str) -> None:
        more = True
        while more:
            items = [self._lines.get()]
            while len(items) < _BATCH and not self._lines.empty():
                items.append(self._lines.get())
            if events := [item for item in items if isinstance(item, dict)]:
                self._try_to_send(stream, events)
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            more = None not in items
        if self._dropped:
            self._note(f"{self._name}: {self._dropped} lines are missing in its log stream; its log file has them")

    def _try_to_send(self, stream: str, events: list[dict[str, Any]]) -> None:
        try:
            self._send(GROUP, stream, events)
        except Exception as error:  # noqa: BLE001  # whatever a log service raises, the log file has the lines
            self._dropped += len(events)
            self._note(f"{self._name}: cannot write to its log stream: {type(error).__name__}: {error}")
