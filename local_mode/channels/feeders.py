"""Processes that feeders are forked from, one without S3 and one with it; their owner's side. See `feeder.serve`."""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local_mode.channels import feeder
from local_mode.errors import FeederError

_START_SECONDS = 60.0
"""To import what a feeder needs, and to fork, on a machine that is busy."""
_END_SECONDS = 5.0
_WORDS_BYTES = 256
ROOM = "LOCAL_MODE_ROOM"
"""Variable that makes the environment, as others see it, large enough for a job's mark."""
_MARK_BYTES = 4096


class Feeder:
    """A feeder that is being started. One thread follows it: `begin`, its `lines` to their end, `end`."""

    def __init__(self, report: socket.socket, output: int, why_ended: Callable[[], str]) -> None:
        """`why_ended` says of what it is forked from how that ended."""
        self._report, self._why_ended = report, why_ended
        report.settimeout(_START_SECONDS)
        self._is_known = threading.Event()
        self._handle: int | None = None
        self.lines = os.fdopen(output, "r", encoding="utf-8", errors="replace")
        """What it says."""

    def begin(self) -> str:
        """Wait until there is such a process; why there never will be, else nothing."""
        reason = ""
        try:
            words, handles, _, _ = socket.recv_fds(self._report, _WORDS_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            if handles:
                self._handle = handles[0]
            else:
                reason = words.decode() or self._why_ended()
        except OSError as error:  # a wait without end among them
            reason = str(error.strerror or error)
        self._is_known.set()
        return reason

    def end(self) -> int:
        """Wait for its end; the exit code, -n after signal n. What it was forked from may have been killed with it."""
        said = b""
        with contextlib.suppress(OSError):
            said = self._report.recv(_WORDS_BYTES)
        return int(said) if said else -signal.SIGKILL

    def send(self, number: signal.Signals) -> None:
        """Signal it; nothing when it has ended."""
        if self._is_known.wait(_START_SECONDS) and self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, or never was, after so long at most."""
        deadline = time.monotonic() + seconds
        if not self._is_known.wait(seconds):
            return False
        if self._handle is None:
            return True
        ending = select.poll()
        ending.register(self._handle, select.POLLIN)
        return bool(ending.poll(1000 * max(0.0, deadline - time.monotonic())))

    def close(self) -> None:
        """Let it go; it has ended."""
        self.lines.close()
        self._report.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Feeders:
    """One such process, started by the first feeder that is wanted. Safe to use from several threads.

    It ends when its owner does, however that ends: its socket closes.
    """

    def __init__(self, options: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        """`options` are the interpreter's; `modules` are imported once, for all."""
        self._options, self._modules = options, modules
        self._lock = threading.Lock()
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        atexit.register(self.close)

    def start(
        self, plan: Path, environment: Mapping[str, str], marker: Mapping[str, str], common: Mapping[str, str]
    ) -> Feeder:
        """Have a feeder forked; it need not be there when this returns.

        Args:
            plan: What it feeds.
            environment: Of the feeder, beside `common` and `marker`.
            marker: What others see of its environment, by which they find it.
            common: Of what it is forked from: no job's own, as it outlives all of them.

        Raises:
            FeederError: There is nothing to fork it from.
        """
        mark = "".join(f"{name}={value}\0" for name, value in marker.items())
        order = {"plan": str(plan), "environment": {**common, **environment, **marker}, "mark": mark}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        try:
            with theirs, self._lock:
                message, descriptors = [json.dumps(order).encode()], [write, theirs.fileno()]
                process, control = self._server(common)
                try:
                    socket.send_fds(control, message, descriptors)
                except ConnectionError:  # it has just been killed
                    process.wait(_END_SECONDS)
                    process, control = self._server(common)
                    socket.send_fds(control, message, descriptors)
        except (OSError, subprocess.TimeoutExpired) as error:
            ours.close()
            os.close(read)
            said = _why(process) if isinstance(error, ConnectionError) else getattr(error, "strerror", None) or error
            raise FeederError(f"The feeder cannot be started: {said}.") from None
        finally:
            os.close(write)
        return Feeder(ours, read, lambda: _why(process))

    def close(self) -> None:
        """End it, and its feeders; nothing where there is none."""
        with self._lock:
            if self._running is not None:
                process, control = self._running
                self._running = None
                control.close()
                process.terminate()
                try:
                    process.wait(_END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                _let_go(process)

    def _server(self, common: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """What forks, and where it takes plans; started anew where there is none, or it has been killed."""
        if self._running is not None and self._running[0].poll() is not None:
            _let_go(self._running[0])
            self._running[1].close()
            self._running = None
        if self._running is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(_START_SECONDS)
            program = ["-m", feeder.__name__, feeder.FORK, str(theirs.fileno()), *self._modules]
            try:
                process = subprocess.Popen(
                    [sys.executable, *self._options, *program],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={**common, ROOM: " " * _MARK_BYTES},
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C in a terminal is for local_mode, which then ends the job in order
                )
            except OSError:
                ours.close()
                raise
            finally:
                theirs.close()
            self._running = process, ours
        return self._running


def _why(process: subprocess.Popen[bytes]) -> str:
    """How it ended, in its own last words."""
    try:
        code = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return "its process gives no answer"
    stderr = process.stderr
    said = stderr.read().decode(errors="replace").strip().splitlines() if stderr and not stderr.closed else []
    return f"its process ended with code {code}: {said[-1] if said else 'no output'}"


def _let_go(process: subprocess.Popen[bytes]) -> None:
    if process.stderr:
        process.stderr.close()
