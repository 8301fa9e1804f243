"""Feeds Pipe-mode channels: one FIFO per channel and epoch, for as long as it is let.

Run:  python -m local_mode.channels.feeder PLAN.json
      python -m local_mode.channels.feeder --fork DESCRIPTOR [MODULE...]

A program of its own, so that it can run beside a container wherever that runs: it and the modules it imports need
the standard library and trainjob.contract only, and boto3 as soon as a key is s3://. With --fork it is a process that
feeders are forked from, each in a tenth of the time: it has imported the modules, the socket DESCRIPTOR brings plans
(see `feeders`), and when that is closed, or this process ends in any other way, its feeders end as well.
PLAN.json: {"folder": where the FIFOs go, "parent": pid or null, "channels": [{"channel": name, "objects": [{"key": file
or s3:// URI, "size": bytes, "tag": ETag}], "attributes": what to stream of the augmented manifest that the one object
is, else [], "record_io": bool, "gzip": bool, "order": fields of order.Order}]}. The S3 and its key are in the
environment: AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
On stdout, JSON lines: {"channel", "epoch", "bytes", "seconds"} (bytes over all epochs so far, and the fields of
gauge.Spent) about twice a second and at the end; {"channel", "error"} before exit code 1, for which it waits until it
is told to stop, a minute at most: an epoch that is not whole must not end before its reader does. SIGTERM, or the end
of the parent: FIFOs removed, exit 0.
"""

import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainjob import contract

from local_mode.channels.delivery import Delivery
from local_mode.channels.gauge import SAMPLE_SECONDS, Gauge
from local_mode.channels.objects import ObjectError
from local_mode.channels.s3_access import S3Access
from local_mode.channels.s3_source import S3Source
from local_mode.channels.sending import PIPE_BYTES, Outlet, fifo, make_fifo

PROGRESS_SECONDS = 0.5
_LINGER_SECONDS = 60
_PR_SET_PDEATHSIG = 1
FORK, STARTED = "--fork", b"started"
_MESSAGE_BYTES, _DESCRIPTORS = 1 << 16, 2
_ENVIRONMENT_AREA = slice(47, 49)
"""Of /proc/self/stat, behind the name: where the environment of the process's start lies, which is what others see."""
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}


@dataclass
class _Feed:
    """One channel, fed by a thread of its own: channels never wait for each other."""

    name: str
    delivery: Delivery
    folder: Path
    fifos: "_Fifos"
    epoch: int = 0
    bytes_sent: int = 0
    error: str | None = None
    gauge: Gauge = field(default_factory=Gauge)
    _told: tuple[int, int] = field(default=(-1, -1))

    def run(self) -> None:
        try:
            self.fifos.make(fifo(self.folder, self.name, 0))
            self.delivery.load()
            while True:
                self._feed_epoch()
                self.epoch += 1
        except (ObjectError, OSError) as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001  the outermost frame of this thread: a defect must not leave readers waiting
            self.error = f"the feeder failed: {type(error).__name__}: {error}"
        os.kill(os.getpid(), signal.SIGUSR1)  # the main thread need not wait for its next look

    def _feed_epoch(self) -> None:
        path = fifo(self.folder, self.name, self.epoch)
        order = self.delivery.order(self.epoch)
        out = os.open(path, os.O_WRONLY)  # waits for the reader
        _grow(out)
        self.gauge.attach(out)
        # The reader may close early: the epoch is over. After any other error the FIFO stays open until the
        # process ends, so that what is missing does not look like the end of the data any sooner than it must.
        with contextlib.suppress(BrokenPipeError):
            self.delivery.send(order, Outlet(out, self._count))
        # The next FIFO is there before this one ends, so a reader that goes straight on finds it.
        self.fifos.make(fifo(self.folder, self.name, self.epoch + 1))
        self.gauge.detach()
        os.close(out)
        self.fifos.remove(path)

    def _count(self, count: int) -> None:
        self.bytes_sent += count
        self.gauge.count()

    def progress(self, *, final: bool) -> str | None:
        """A progress line, if there is news."""
        now = (self.epoch, self.bytes_sent)
        if now == self._told and not final:
            return None
        self._told = now
        seconds = {key: round(value, 3) for key, value in asdict(self.gauge.spent()).items()}
        return json.dumps({"channel": self.name, "epoch": now[0], "bytes": now[1], "seconds": seconds})


class _Fifos:
    """Every FIFO that exists now; once closed, none is made any more."""

    def __init__(self) -> None:
        self._paths: set[Path] = set()
        self._lock = threading.Lock()
        self._closed = False

    def make(self, path: Path) -> None:
        with self._lock:
            if not self._closed:
                make_fifo(path)
                self._paths.add(path)

    def remove(self, path: Path) -> None:
        with self._lock:
            self._paths.discard(path)
            path.unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for path in self._paths:
                path.unlink(missing_ok=True)


def _grow(fd: int) -> None:
    with contextlib.suppress(OSError):  # a limit of this user or system: slower, and still right
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _feeds(plan: dict[str, Any], scratch: Path, fifos: _Fifos) -> list[_Feed]:
    access = S3Access.from_environment(os.environ)
    s3, folder = S3Source(access) if access else None, Path(plan["folder"])
    return [
        _Feed(name=channel["channel"], delivery=Delivery(channel, scratch, s3), folder=folder, fifos=fifos)
        for channel in plan["channels"]
    ]


def _tell(feeds: list[_Feed], *, final: bool) -> bool:
    """Print progress; False when nobody listens any more."""
    lines = [line for feed in feeds if (line := feed.progress(final=final))]
    try:
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _watch(feeds: list[_Feed], parent: int) -> int:
    """Report until told to stop; the exit code."""
    told = time.monotonic()
    while True:
        woken = signal.sigtimedwait(_SIGNALS, SAMPLE_SECONDS)
        for feed in feeds:
            feed.gauge.sample()
        if woken is None and time.monotonic() - told < PROGRESS_SECONDS:
            continue
        told = time.monotonic()
        stopped = (woken is not None and woken.si_signo != signal.SIGUSR1) or os.getppid() != parent
        for feed in feeds:
            if feed.error:
                sys.stdout.write(json.dumps({"channel": feed.name, "error": feed.error}) + "\n")
                sys.stdout.flush()
                _linger(parent)
                return contract.EXIT_FAILURE
        if not _tell(feeds, final=stopped) or stopped:
            return contract.EXIT_SUCCESS


def _linger(parent: int) -> None:
    """Keep the FIFOs open while whoever reads them is ended."""
    deadline = time.monotonic() + _LINGER_SECONDS
    while os.getppid() == parent and time.monotonic() < deadline:
        woken = signal.sigtimedwait(_SIGNALS, PROGRESS_SECONDS)
        if woken is not None and woken.si_signo != signal.SIGUSR1:
            return


def serve(descriptor: int) -> tuple[str, int]:
    """Fork a feeder for every plan that comes; returns in a feeder's process alone: its plan, and this process.

    A message is JSON, {"plan": path, "environment": {...}, "mark": what others are to see of that}, with the feeder's
    output and a socket of its own. There comes a handle of the feeder, or why there is none, and its exit code when it
    has ended. This process has no thread.
    """
    control, server = socket.socket(fileno=descriptor), os.getpid()
    running: dict[int, tuple[int, socket.socket]] = {}
    known = select.poll()
    known.register(descriptor, select.POLLIN)
    while True:
        ready = [number for number, _ in known.poll()]
        for handle in running.keys() & set(ready):
            known.unregister(handle)
            pid, report = running.pop(handle)
            _answer(report, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
            report.close()
            os.close(handle)
        if descriptor not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not message:
            os._exit(contract.EXIT_SUCCESS)
        if len(descriptors) < _DESCRIPTORS:  # this process may have no more; their other ends see that they are closed
            for number in descriptors:
                os.close(number)
            continue
        output, report = descriptors[0], socket.socket(fileno=descriptors[1])
        try:
            pid = os.fork()
            if pid == 0:
                for handle, (_, other) in running.items():
                    os.close(handle)
                    other.close()
                control.close()
                report.close()
                return _become(json.loads(message), output), server
            handle = os.pidfd_open(pid)
        except OSError as error:
            _answer(report, str(error.strerror).encode())
            report.close()
        else:
            running[handle] = pid, report
            known.register(handle, select.POLLIN)
            _answer(report, STARTED, [handle])
        finally:
            os.close(output)


def _answer(report: socket.socket, words: bytes, handles: Sequence[int] = ()) -> None:
    with contextlib.suppress(OSError):  # its owner may not want to know any more
        socket.send_fds(report, [words], handles)


def _become(order: dict[str, Any], output: int) -> str:
    """Be a feeder as if it had been started with its environment; its plan."""
    os.setsid()
    for number in (1, 2):
        os.dup2(output, number)
    os.environ.clear()  # nothing points any more to where it lay
    os.environ.update(order["environment"])
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    start, end = map(int, fields[_ENVIRONMENT_AREA])
    mark = os.fsencode(order["mark"])[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, mark, len(mark))
    return str(order["plan"])


def main(argv: list[str]) -> int:
    """Feed the channels of the plan named in `argv` until told to stop; the exit code."""
    server = None
    if argv[0] == FORK:
        for name in argv[2:]:
            importlib.import_module(name)
        argv[0], server = serve(int(argv[1]))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    path = Path(argv[0])
    plan = json.loads(path.read_text(encoding="utf-8"))
    parent = server or plan.get("parent") or os.getppid()
    # Blocked here and in the threads to come; only sigtimedwait takes them, so no handler ever interrupts.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    fifos = _Fifos()
    feeds = _feeds(plan, path.parent, fifos)
    for feed in feeds:
        threading.Thread(target=feed.run, daemon=True, name=feed.name).start()
    try:
        return _watch(feeds, parent)
    finally:
        fifos.close()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code)  # threads may hang in open() for a reader that never comes; nothing can wake them
