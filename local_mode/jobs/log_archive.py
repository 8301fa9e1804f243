"""What makes log streams of a job's log files again: beside each, which bytes are of which stream, and when they came.

A row of `logs/algo-n.times` is [offset, name] where a stream begins, or [offset, ms] where lines begin that came then.
"""

import bisect
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.jobs.folder import JobFolder, jobs_folder
from local_mode.jobs.trace import MARK

Row = tuple[int, str | int]
Event = dict[str, Any]
"""timestamp in ms, message."""
_SUFFIX = ".times"
_EVENT_CHARACTERS = 256 * 1024
_NAME = re.compile("[a-zA-Z0-9-]+")


@dataclass(frozen=True, kw_only=True)
class KeptStream:
    """A stream that some process had, whole."""

    name: str
    log: Path
    begin: int
    end: int
    """Bytes of the log that are its lines."""
    last: int
    """When it was written to for the last time, or later, in ms since 1970."""

    @property
    def created(self) -> int:
        """In ms since 1970, as its name says."""
        return int(self.name.rpartition("-")[2]) * 1000

    def events(self) -> list[Event]:
        """All its lines. Those that were written and no more noted have the time of the last that was."""
        try:
            rows = _rows(self.log.with_suffix(_SUFFIX).read_text(encoding="utf-8"))
            with self.log.open("rb") as file:
                file.seek(self.begin)
                lines = io.BytesIO(file.read(self.end - self.begin)).readlines()
        except OSError:
            return []  # someone removed them
        if lines and lines[-1].startswith(f"{MARK} verdict:".encode()):
            lines.pop()  # ours, and no line of the program
        times = [(at, time) for at, time in rows if isinstance(time, int) and self.begin <= at < self.end]
        found, at = [], self.begin
        for line in lines:
            known = bisect.bisect_right(times, (at, 1 << 63)) - 1
            found.append({"timestamp": times[known][1] if known >= 0 else self.created, "message": message(line)})
            at += len(line)
        return found


def message(line: bytes) -> str:
    """A line as CloudWatch has it: not too long, and not empty."""
    return line.decode("utf-8", "replace").rstrip("\r\n")[:_EVENT_CHARACTERS] or " "


def keep(folder: JobFolder, host: str, rows: list[Row]) -> None:
    """Note what is known of a host's log.

    Raises:
        OSError: it cannot be written.
    """
    with folder.log(host).with_suffix(_SUFFIX).open("a", encoding="utf-8") as file:
        file.write("".join(f"{json.dumps(row)}\n" for row in rows))


def is_ours(path: Path) -> bool:
    """Whether a file among the logs is one of `keep`."""
    return path.suffix == _SUFFIX


class Archive:
    """The streams of all jobs of a root folder, whichever process ran them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def jobs(self, prefix: str) -> Iterator[str]:
        """Names of the jobs that may have streams whose names begin with `prefix`."""
        job, slash, _ = prefix.partition("/")
        folder = jobs_folder(self._root)
        if slash and _NAME.fullmatch(job):
            yield job
        elif not slash and folder.is_dir():
            yield from (path.name for path in folder.iterdir() if path.name.startswith(job))

    def streams(self, job: str) -> list[KeptStream]:
        """The streams of a job, in the order of hosts and attempts; none where there is no such job."""
        places = sorted(JobFolder(path=jobs_folder(self._root) / job).logs.glob(f"*{_SUFFIX}"))
        return [stream for path in places for stream in _streams(path)]


def _streams(path: Path) -> Iterator[KeptStream]:
    """The streams that a file of `keep` tells of; nothing else of it is looked at, as there may be ten thousand."""
    log = path.with_suffix(".log")
    try:
        text, state = path.read_text(encoding="utf-8"), log.stat()
    except OSError:
        return  # removed with its job
    begins = _rows("\n".join(line for line in text.splitlines() if '"' in line))
    ends = [*(offset for offset, _ in begins[1:]), state.st_size]
    for (begin, name), end in zip(begins, ends, strict=True):
        yield KeptStream(name=str(name), log=log, begin=begin, end=end, last=int(state.st_mtime * 1000) + 1)


def _rows(text: str) -> list[Row]:
    rows: list[Row] = []
    for line in text.splitlines():
        try:
            offset, value = json.loads(line)
        except ValueError:
            break  # the process was killed while it wrote this
        rows.append((offset, value))
    return rows
