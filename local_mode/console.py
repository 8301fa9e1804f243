"""Tells a person at a terminal how a job goes: its log on stdout as it is, everything else on stderr."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

_LINE_SECONDS = 5.0
"""Between two progress lines of a channel where they cannot be overwritten."""
_MB = 1e6


class Console:
    """Follows one job. Progress is one line that overwrites itself on a terminal, a line now and then elsewhere."""

    def __init__(self, out: BinaryIO | None = None, err: TextIO | None = None, *, hosts: int = 1) -> None:
        """With several `hosts`, what one of them says or reads begins with its name."""
        self._several = hosts > 1
        self._out = out or sys.stdout.buffer
        self._err = err or sys.stderr
        self._live = self._err.isatty()
        self._lock = threading.Lock()
        self._channels: dict[str, _Progress] = {}
        self._started = time.monotonic()
        self._drawn = False
        self._deaf = False

    def line(self, text: bytes, host: str) -> None:
        """Write one line of a host's log."""
        if self._several:
            # A last line without an end is not to run into the next of another host.
            text = f"{host} | ".encode() + text + (b"" if text.endswith(b"\n") else b"\n")
        with self._lock:
            self._wipe()
            self._write(text)

    def status(self, secondary: str, message: str) -> None:
        """Write a status change; at an end, the channels' totals before it."""
        if secondary == "Training":
            self._started = time.monotonic()
        if secondary in ("Uploading", "Failed", "Stopped", "Starting"):
            self._finish_progress()
        self.note(f"{secondary} - {message}")

    def metric(self, name: str, value: float, at: float) -> None:
        """Drop a point: the line it was in is shown."""

    def note(self, text: str) -> None:
        """Write a remark of ours."""
        with self._lock:
            self._wipe()
            self._tell(f"{time.strftime('%H:%M:%S')} {text}\n")

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """Take in the progress of a host's channel, and show it when it is time to."""
        name = f"{host} {channel}" if self._several else channel
        with self._lock:
            state = self._channels.setdefault(name, _Progress(channel, self._started))
            now = time.monotonic()
            state.take(now, epoch, bytes_sent)
            if self._live:
                self._wipe()
                line = " | ".join(f"{key} {item}" for key, item in self._channels.items())
                # One column less than there is: a line that wraps cannot be overwritten.
                self._tell("\r" + line[: shutil.get_terminal_size().columns - 1])
                self._drawn = True
            elif now >= state.next_line and state.moved():
                state.next_line = now + _LINE_SECONDS
                self._tell(f"{time.strftime('%H:%M:%S')} {name} {state}\n")

    def summary(self, description: Mapping[str, Any], folder: Path) -> None:
        """Write how the job ended and where things are."""
        rows = [("job", description["TrainingJobName"]), ("status", _status(description))]
        if reason := description.get("FailureReason"):
            rows.append(("reason", _cause(reason)))
        rows += [("metric", f"{m['MetricName']} = {m['Value']:g}") for m in description["FinalMetricDataList"]]
        if (folder / "model.tar.gz").exists() or (folder / "model").is_dir():
            rows.append(("model", description["ModelArtifacts"]["S3ModelArtifacts"]))
        rows.append(("folder", f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}"))
        with self._lock:
            self._wipe()
            self._tell("".join(f"{key:>7}  {value}\n" for key, value in rows))

    def _finish_progress(self) -> None:
        with self._lock:
            self._wipe()
            for name, state in self._channels.items():
                self._tell(f"{time.strftime('%H:%M:%S')} {name} {state.total()}\n")
            self._channels.clear()

    def _wipe(self) -> None:
        """Take the overwritable line away before anything else is written."""
        if self._drawn:
            self._tell("\r\x1b[K")
            self._drawn = False

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads our stderr any more; the job goes on
            self._err.write(text)
            self._err.flush()

    def _write(self, text: bytes) -> None:
        if self._deaf:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            self._deaf = True  # whoever read our output left; the job goes on, and its log is in its folder
            self._tell("stdout was closed; the job goes on, its log is in its folder\n")


class _Progress:
    """How far a channel is, and how fast it is now.

    It names the FIFO and counts no epochs: a program that reads ahead has begun one more than it will use.
    """

    def __init__(self, channel: str, start: float) -> None:
        self._channel = channel
        self._start = self._since = start
        self._at_since = 0
        self._bytes = self._said = 0
        self._epoch = 0
        self._rate = 0.0
        self._last = start
        self.next_line = start + _LINE_SECONDS

    def take(self, now: float, epoch: int, bytes_sent: int) -> None:
        if now - self._since >= 1:
            self._rate = (bytes_sent - self._at_since) / (now - self._since)
            self._since, self._at_since = now, bytes_sent
        if bytes_sent != self._bytes:
            self._last = now
        self._bytes, self._epoch = bytes_sent, epoch

    def __str__(self) -> str:
        return f"{self._bytes / _MB:.1f} MB, {self._rate / _MB:.1f} MB/s, FIFO {self._channel}_{self._epoch}"

    def moved(self) -> bool:
        """Whether there is news since the last call."""
        before, self._said = self._said, self._bytes
        return self._bytes != before

    def total(self) -> str:
        """The whole stream in one line."""
        if not self._bytes:
            return "was not read"
        seconds = max(self._last - self._start, 1e-3)
        return f"{self._bytes / _MB:.1f} MB in all, {self._bytes / _MB / seconds:.1f} MB/s"


def _cause(reason: str) -> str:
    """The first paragraph of a failure reason: what follows it repeats the log that has just passed by."""
    first, _, rest = reason.partition("\n\n")
    return f"{first} (job.json has more)" if rest else first


def _status(description: Mapping[str, Any]) -> str:
    status, secondary = description["TrainingJobStatus"], description["SecondaryStatus"]
    seconds = description.get("TrainingTimeInSeconds")
    text = status if status == secondary else f"{status} ({secondary})"
    return text if seconds is None else f"{text}, {seconds} s of training"
