"""Processes from which jobs are forked, each with a framework imported once; their owner's side. See `fork_server`."""

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainjob import contract

from local_mode.errors import LocalModeError, RunnerError
from local_mode.instance.cleaning import remove_tree
from local_mode.runners import fork_server
from local_mode.runners.overlay import Overlay, make_overlay
from local_mode.runners.stand_in import StandIn

_READY_SECONDS = 120.0
"""To import a framework, on a machine that is busy."""
_START_SECONDS = 20.0
"""To fork."""
_IDLE_SECONDS = 60.0
"""Without a job; then a server ends."""
_MOST = 3
"""Servers at a time: each holds a framework in memory."""
_MARK_BYTES = 4096
_LINE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a job is to be forked from."""

    stand_in: StandIn
    environment: Mapping[str, str]
    """What the framework finds when it is imported."""

    @property
    def key(self) -> str:
        """The same for what can be forked from one server."""
        return repr((self.stand_in, sorted(self.environment.items())))


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job to be forked."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    prefix: Path
    """Of its own virtual environment, where it sees it."""
    mark: str
    """Entry of the environment by which others find its processes."""
    first: int = 0
    """The first process of its sandbox, and a handle of that; none outside of one."""
    handle: int | None = None


class Fork:
    """A job that was forked; its output and its end are here, and what surrounds it is somebody else's."""

    def __init__(self, report: socket.socket, output: int, handle: int) -> None:
        self._report = report
        self._handle: int | None = handle
        self._output = os.fdopen(output, "rb")
        self._code: int | None = None

    def log_lines(self) -> Iterator[bytes]:
        """Lines as they come."""
        yield from iter(lambda: self._output.readline(_LINE_BYTES), b"")

    def send(self, number: signal.Signals) -> None:
        """Signal it; nothing when it has ended."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def wait(self, timeout: float) -> int | None:
        """The exit code, as a shell counts it."""
        if self._code is None and select.select([self._report], [], [], timeout)[0]:
            said = _received(self._report)
            # Without its keeper there is no job either.
            self._code = contract.exit_code(int(said) if said else -signal.SIGKILL)
        return self._code

    def close(self) -> None:
        """Let it go; it has ended. A second time changes nothing."""
        self._report.close()
        self._output.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Reserved:
    """A process that waits to be told what job to fork. `close` must follow, whatever happens."""

    def __init__(self, report: socket.socket, output: int, overlay: Overlay) -> None:
        self._report, self._output = report, output
        self.overlay = overlay
        """The job's own virtual environment."""
        self._is_open = True

    def fork(self, order: Order) -> Fork:
        """Start the job.

        Raises:
            RunnerError: the server is gone or does not fork.
        """
        document = json.dumps(_document(order)).encode() + b"\n"
        try:
            socket.send_fds(self._report, [document[:1]], [] if order.handle is None else [order.handle])
            self._report.sendall(document[1:])
            handle = _started(self._report)
        except OSError as error:
            raise RunnerError(f"The fork server does not answer: {error.strerror or error}.") from None
        if handle is None:
            said = os.read(self._output, _MARK_BYTES).decode(errors="replace").strip().splitlines()
            raise RunnerError(f"The fork server starts no job: {said[-1] if said else 'no message'}.")
        self._is_open = False
        return Fork(self._report, self._output, handle)

    def close(self) -> None:
        """Let the process go; nothing where it has forked."""
        if self._is_open:
            self._is_open = False
            self._report.close()
            os.close(self._output)


class ForkServers:
    """All of one endpoint. Safe to use from several threads. `close` must follow."""

    def __init__(self, folder: Path, note: Callable[[str], None], *, idle_seconds: float = _IDLE_SECONDS) -> None:
        """`folder` is this object's alone; what lies there was left by one that was killed."""
        self._idle_seconds = idle_seconds
        self._folder, self.note = folder, note
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}
        self._refused: set[str] = set()
        """What no server starts for."""
        self._closing = False
        remove_tree(folder)

    def reserve(self, wanted: Wanted, folder: Path) -> Reserved | None:
        """A process for a job to be forked from, and its own virtual environment; None, and the reason noted, if none.

        The first job of its kind waits until the server has imported all.
        """
        server = self._server(wanted)
        if server is None:
            return None
        try:
            return server.reserve(folder)
        except LocalModeError as error:
            with self._lock:
                self._refused.add(wanted.key)
            self.note(f"{error} Jobs start without it.")
        except OSError as error:
            remove_tree(folder)
            self.note(f"a fork server does not answer, the job starts without it: {error.strerror or error}")
        return None

    def close(self) -> None:
        """End all servers, and the jobs that they have."""
        with self._lock:
            self._closing = True
            servers = list(self._servers.values())
        for server in servers:
            server.close()
        remove_tree(self._folder)

    def _server(self, wanted: Wanted) -> "_Server | None":
        with self._lock:
            ended = [self._servers.pop(key) for key, server in list(self._servers.items()) if server.has_ended]
        for server in ended:
            server.close()
        with self._lock:
            if self._closing or wanted.key in self._refused:
                return None
            if wanted.key not in self._servers:
                if len(self._servers) >= _MOST:
                    self.note(f"{_MOST} fork servers run, which is the most; this job starts without one")
                    return None
                self._servers[wanted.key] = _Server(wanted, self._folder, self._idle_seconds)
            return self._servers[wanted.key]


class _Server:
    """One server, started by the first job that needs it."""

    def __init__(self, wanted: Wanted, above: Path, idle_seconds: float) -> None:
        self._wanted, self._above, self._idle_seconds = wanted, above, idle_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._running: tuple[Overlay, socket.socket] | None = None
        """What it runs in, and where it takes jobs."""
        self._is_closed = False
        self._folder = Path()

    @property
    def has_ended(self) -> bool:
        """Whether it ran and does no more."""
        process = self._process
        return process is not None and process.poll() is not None

    def reserve(self, folder: Path) -> Reserved:
        """Have the server fork a keeper, which is at hand when the job's sandbox stands.

        The environment is a copy of the one that the server runs in: to make one takes tens of times as long.

        Raises:
            LocalModeError: the server cannot be started.
            OSError: it is gone.
        """
        with self._lock:
            if self._is_closed:
                raise ConnectionResetError(errno.ECONNRESET, "it has just ended")
            made, control = self._running or self._start()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        read, write = os.pipe()
        held = Reserved(ours, read, replace(made, folder=folder))
        try:
            socket.send_fds(control, [b"job"], [theirs.fileno(), write])
            shutil.copytree(made.folder, folder, symlinks=True)  # while it forks
        except OSError:
            held.close()
            raise
        finally:
            theirs.close()
            os.close(write)
        return held

    def close(self) -> None:
        """End it, and every job that it has."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            if self._running is not None:
                self._running[1].close()
            self._is_closed = True
        if self._folder.name:
            remove_tree(self._folder)

    def _start(self) -> tuple[Overlay, socket.socket]:
        self._above.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(dir=self._above))
        overlay = make_overlay(self._wanted.stand_in, self._folder / "venv")
        (self._folder / "home").mkdir()
        environment = {
            **self._wanted.environment,
            "HOME": str(self._folder / "home"),
            fork_server.ROOM: " " * _MARK_BYTES,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = self._folder / "log"
        with theirs, log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(overlay.python), fork_server.__file__, str(theirs.fileno()), self._wanted.stand_in.preload,
                 str(self._idle_seconds)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal is for local_mode
            )  # fmt: skip
        ours.settimeout(_READY_SECONDS)
        try:
            is_ready = ours.recv(len(fork_server.READY)) == fork_server.READY
        except OSError:
            is_ready = False
        if not is_ready:
            self._process.kill()
            self._process.wait()
            ours.close()
            said = log.read_text(errors="replace").strip().splitlines()
            raise RunnerError(f"The fork server does not start: {said[-1] if said else 'no message'}.")
        ours.settimeout(_START_SECONDS)
        self._running = overlay, ours
        return self._running


def _document(order: Order) -> dict[str, Any]:
    return {
        "module": order.module,
        "arguments": list(order.arguments),
        "environment": dict(order.environment),
        "prefix": str(order.prefix),
        "mark": order.mark,
        "first": order.first,
    }


def _started(report: socket.socket) -> int | None:
    """A handle of the job, once it is there; None when it never will."""
    deadline = time.monotonic() + _START_SECONDS
    if not select.select([report], [], [], max(0.0, deadline - time.monotonic()))[0]:
        raise TimeoutError(f"no job within {_START_SECONDS:g} s")
    _, handles, _, _ = socket.recv_fds(report, len(fork_server.STARTED), 1, socket.MSG_CMSG_CLOEXEC)
    return handles[0] if handles else None


def _received(report: socket.socket) -> bytes:
    try:
        return report.recv(16)
    except ConnectionError:
        return b""
