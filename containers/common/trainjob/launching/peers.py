"""The launchers of a job's hosts watch one another: where one is lost the others end their programs, and name it.

A framework's collective tells that a connection broke, or nothing at all, but not which host is at fault; and where a
signal handler cannot run, in a collective that never returns, only another process can still act.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable

from trainjob import hosts
from trainjob.environment import JobEnvironment
from trainjob.errors import PeerError

MEET_SECONDS = 600.0
"""How long a host may take to come: its image may be pulled later than the others', its name be late to resolve."""
BEAT_SECONDS = 1.0
SILENCE_SECONDS = 20.0
"""A host that is not heard of for so long counts as gone, though its connection stands."""
_LOOK_SECONDS = 0.2
_LINE_BYTES = 1 << 10

Lost = Callable[[str], None]


class Peers:
    """A line from each host's launcher to the first host's, which tells all of them whom it has lost."""

    def __init__(self, env: JobEnvironment, on_lost: Lost) -> None:
        """`on_lost` is called once, in a thread, with words for the failure file."""
        self._env, self._on_lost = env, on_lost
        self._lock = threading.Lock()
        self._links: dict[str, _Link] = {}
        self._done: set[str] = set()
        self._lost = False
        self._over = threading.Event()

    def meet(self, seconds: float = MEET_SECONDS) -> None:
        """Wait until all hosts are there.

        Raises:
            PeerError: One did not come; named.
        """
        deadline = time.monotonic() + seconds
        if self._env.host_index == 0:
            self._gather(deadline)
        else:
            self._call(deadline)
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def leave(self, code: int) -> None:
        """Tell the others how this host's program ended."""
        self._over.set()
        self._tell(self._links.values(), "done" if code == 0 else f"failed {code}")
        for link in self._links.values():
            link.close()

    def _gather(self, deadline: float) -> None:
        """Of the first host: take the others' calls, and let all go at once."""
        env = self._env
        with self._server(deadline) as server:
            server.settimeout(_LOOK_SECONDS)
            while len(self._links) < len(env.hosts) - 1:
                if time.monotonic() > deadline:
                    missing = [host for host in env.hosts[1:] if host not in self._links]
                    raise PeerError(_absent(missing))
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    self._welcome(connection)
        self._tell(self._links.values(), "go")

    def _server(self, deadline: float) -> socket.socket:
        """Listen at this host's own name, which may be late to resolve."""
        address = (self._env.hosts[0], hosts.port(self._env))
        while True:
            try:
                return socket.create_server(address, backlog=len(self._env.hosts))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise PeerError(
                        f"Host '{address[0]}' cannot listen at its own name, port {address[1]}: {error}; check that "
                        "the name resolves to this host, and that nothing else uses the port."
                    ) from error
                time.sleep(_LOOK_SECONDS)

    def _welcome(self, connection: socket.socket) -> None:
        connection.settimeout(BEAT_SECONDS * 5)
        try:
            words = connection.recv(_LINE_BYTES, socket.MSG_PEEK).split(b"\n")[0].decode(errors="replace").split(" ")
        except OSError:
            words = []
        known = [host for host in self._env.hosts[1:] if host not in self._links]
        if len(words) != 3 or words[:2] != ["hello", self._env.job_name] or words[2] not in known:
            connection.close()  # another job's, or no launcher at all
            return
        self._links[words[2]] = _Link(connection, words[2], self._hear, self._gone)

    def _call(self, deadline: float) -> None:
        """Of every other host: call the first, and wait until it lets all go."""
        env, first, reason = self._env, self._env.hosts[0], ""
        while time.monotonic() < deadline:
            connection = None
            try:
                connection = socket.create_connection((first, hosts.port(env)), timeout=BEAT_SECONDS * 5)
                connection.sendall(f"hello {env.job_name} {env.current_host}\n".encode())
                if _line(connection, deadline) == "go":
                    self._links[first] = _Link(connection, first, self._hear, self._gone)
                    return
                reason = "it ended the connection"
            except OSError as error:  # not there yet, or its name does not resolve yet
                reason = str(error)
            if connection:
                connection.close()
            time.sleep(_LOOK_SECONDS)
        raise PeerError(_absent([first], f" ({reason})"))

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._tell(self._links.values(), "beat")

    def _tell(self, links: Iterable["_Link"], text: str) -> None:
        for link in list(links):
            link.send(text)

    def _hear(self, host: str, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "done":
            self._done.add(host)
        elif word == "failed":
            self._lose(_gone(host, f"its program ended with exit code {rest}"))
        elif word == "lost":
            self._lose(rest)

    def _gone(self, host: str, why: str) -> None:
        if host not in self._done and not self._over.is_set():
            self._lose(_gone(host, why))

    def _lose(self, text: str) -> None:
        with self._lock:
            if self._lost or self._over.is_set():
                return
            self._lost = True
        if self._env.host_index == 0:
            self._tell(self._links.values(), f"lost {text}")
        self._on_lost(text)


class _Link:
    """A connection to another launcher: lines both ways, read in a thread."""

    def __init__(
        self, connection: socket.socket, host: str, hear: Callable[[str, str], None], gone: Callable[[str, str], None]
    ) -> None:
        self._connection, self._host, self._hear, self._gone = connection, host, hear, gone
        self._sending = threading.Lock()
        connection.settimeout(SILENCE_SECONDS)
        threading.Thread(target=self._read, name=f"peer {host}", daemon=True).start()

    def send(self, text: str) -> None:
        with self._sending, contextlib.suppress(OSError):  # that it is gone the reading thread finds out
            self._connection.sendall(f"{text}\n".encode())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        held = b""
        try:
            with self._connection:
                while block := self._connection.recv(_LINE_BYTES):
                    *lines, held = (held + block).split(b"\n")
                    for line in lines:
                        self._hear(self._host, line.decode(errors="replace"))
            why = "its connection closed"
        except TimeoutError:
            why = f"nothing was heard of it for {SILENCE_SECONDS:g} s"
        except OSError as error:
            why = f"its connection broke ({error.strerror or error})"
        self._gone(self._host, why)


def _line(connection: socket.socket, deadline: float) -> str:
    """The next line, byte by byte, so that nothing behind it is taken."""
    text = b""
    while not text.endswith(b"\n") and len(text) < _LINE_BYTES:
        connection.settimeout(max(_LOOK_SECONDS, deadline - time.monotonic()))
        byte = connection.recv(1)
        if not byte:
            break
        text += byte
    return text.decode(errors="replace").strip()


def _gone(host: str, why: str) -> str:
    return (
        f"Host '{host}' is gone: {why}. The job cannot go on without it; see the end of that host's log, and start the "
        "job again: it goes on from its last checkpoint."
    )


def _absent(missing: list[str], why: str = "") -> str:
    names = ", ".join(f"'{host}'" for host in missing)
    return (
        f"Host {names} did not come{why}; see its log, and check that its name resolves and that the hosts may connect "
        "to each other (security group, network isolation)."
    )
