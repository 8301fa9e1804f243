"""Launchers that watch one another, on loopback addresses as bubblewrap's hosts have them."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from trainjob import hosts
from trainjob.contract import Paths
from trainjob.environment import JobEnvironment
from trainjob.errors import PeerError
from trainjob.launching import peers
from trainjob.launching.peers import Peers

SECONDS = 20
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


def job(current: str, name: str, names=ADDRESSES) -> JobEnvironment:
    return JobEnvironment(
        paths=Paths(), job_name=name, hyperparameters={}, channels={}, hosts=names, current_host=current,
        network_interface="lo",
    )  # fmt: skip


@pytest.fixture
def name(request) -> str:
    """A job's, which decides its port; another for each test and run."""
    return f"{request.node.name}-{time.time_ns()}"


class Launcher(Peers):
    """One host's, and what it has heard."""

    def __init__(self, env: JobEnvironment) -> None:
        super().__init__(env, self._take)
        self.lost: list[str] = []
        self.heard = threading.Event()

    def _take(self, text: str) -> None:
        self.lost.append(text)
        self.heard.set()


@contextmanager
def met(name: str, names=ADDRESSES):
    launchers = [Launcher(job(address, name, names)) for address in names]
    threads = [threading.Thread(target=each.meet, args=(SECONDS,)) for each in launchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    try:
        yield launchers
    finally:
        for each in launchers:
            each.leave(0)


def test_all_hosts_meet_and_leave_and_nobody_is_missed(name):
    with met(name) as launchers:
        for each in launchers[1:]:
            each.leave(0)
        launchers[0].leave(0)
        time.sleep(0.2)
        assert [each.lost for each in launchers] == [[], [], []]


@pytest.mark.parametrize("failing", [0, 1])
def test_host_whose_program_failed_is_named_to_all_others(name, failing):
    with met(name) as launchers:
        launchers[failing].leave(137)
        for index, each in enumerate(launchers):
            if index != failing:
                assert each.heard.wait(SECONDS)
                assert len(each.lost) == 1
                assert f"Host '{ADDRESSES[failing]}' is gone: its program ended with exit code 137" in each.lost[0]
        assert launchers[failing].lost == []


VICTIM = """
import sys
from tests.unit.trainjob.launching.test_peers import ADDRESSES, Launcher, job
launcher = Launcher(job(sys.argv[1], sys.argv[2], ADDRESSES[:2]))
launcher.meet(20)
print("met", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_host_that_dies_or_falls_silent_is_named_within_the_bound(name, victim, way, monkeypatch):
    monkeypatch.setattr(peers, "SILENCE_SECONDS", 3.0)
    pair = ADDRESSES[:2]
    other = Launcher(job(pair[1 - victim], name, pair))
    command = [sys.executable, "-c", VICTIM, pair[victim], name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            other.meet(SECONDS)
            assert process.stdout.readline() == b"met\n"
            begun = time.monotonic()
            if way == "killed":
                process.kill()
            else:
                process.send_signal(19)  # SIGSTOP: the connection stands, and nothing comes
            assert other.heard.wait(SECONDS)
            seconds = time.monotonic() - begun
        finally:
            process.kill()
    assert seconds < (2 if way == "killed" else 8)
    assert f"Host '{pair[victim]}' is gone: " in other.lost[0]
    assert way == "killed" or "nothing was heard of it for 3 s" in other.lost[0]


@pytest.mark.parametrize(
    ("waiting", "missing"), [("127.0.0.2", "'127.0.0.3', '127.0.0.4'"), ("127.0.0.3", "'127.0.0.2'")]
)
def test_host_that_does_not_come_is_named_once_the_time_is_over(name, waiting, missing):
    with pytest.raises(PeerError, match=f"Host {missing} did not come"):
        Launcher(job(waiting, name)).meet(0.5)


def test_names_that_are_late_to_resolve_are_waited_for(name, monkeypatch):
    resolvable = time.monotonic() + 1.5
    real = socket.getaddrinfo

    def late(host, *rest, **more):
        if host in ("algo-1", "algo-2"):
            if time.monotonic() < resolvable:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = ADDRESSES[int(host[-1]) - 1]
        return real(host, *rest, **more)

    def create_server(address, **more):
        return real_server((late(*address)[0][4][0], address[1]), **more)

    real_server = socket.create_server
    monkeypatch.setattr(socket, "getaddrinfo", late)
    monkeypatch.setattr(socket, "create_server", create_server)
    begun = time.monotonic()
    with met(name, ("algo-1", "algo-2")) as launchers:
        assert 1.5 <= time.monotonic() - begun < 10
        assert [len(each._links) for each in launchers] == [1, 1]


class SlowNames:
    """A clock that goes as fast as it is slept by, and names that do not resolve before a time of it."""

    def __init__(self, monkeypatch, at: float) -> None:
        self.now, self._at = 0.0, at
        monkeypatch.setattr(peers, "time", self)
        for name in ("create_connection", "create_server"):
            monkeypatch.setattr(socket, name, partial(self._look_up, getattr(socket, name)))

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def _look_up(self, then, address, **more):
        if self.now < self._at:
            self.now += 5  # as long as a resolver asks before it gives up
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return then(address, **more)


@pytest.mark.parametrize("rank", [0, 1])
def test_names_that_take_a_minute_to_resolve_are_waited_for(name, monkeypatch, rank):
    launcher = Launcher(job(ADDRESSES[rank], name, ADDRESSES[:2]))
    deadline, taken = peers.MEET_SECONDS, []
    if rank == 0:
        names = SlowNames(monkeypatch, at=60)
        launcher._server(deadline).close()
    else:
        with socket.create_server((ADDRESSES[0], hosts.port(launcher._env))) as server:
            names = SlowNames(monkeypatch, at=60)
            threading.Thread(target=lambda: _let_go(server, taken), daemon=True).start()
            launcher._call(deadline)
        assert list(launcher._links) == [ADDRESSES[0]]
        launcher.leave(0)
        taken[0].close()
    assert 60 <= names.now < 70


@pytest.mark.parametrize(
    ("rank", "told"),
    [(0, "Host '127.0.0.2' cannot listen at its own name"), (1, "Host '127.0.0.2' did not come .*Temporary failure")],
)
def test_names_that_never_resolve_are_waited_for_ten_minutes_and_not_longer(name, monkeypatch, rank, told):
    names = SlowNames(monkeypatch, at=float("inf"))
    with pytest.raises(PeerError, match=told):
        Launcher(job(ADDRESSES[rank], name, ADDRESSES[:2])).meet()
    assert peers.MEET_SECONDS <= names.now < peers.MEET_SECONDS + 10


def _let_go(server: socket.socket, taken: list[socket.socket]) -> None:
    taken.append(server.accept()[0])
    taken[0].sendall(b"go\n")


def test_stranger_at_the_port_is_turned_away_and_the_hosts_still_meet(name):
    pair = ADDRESSES[:2]
    first, second = (Launcher(job(address, name, pair)) for address in pair)
    waiting = threading.Thread(target=first.meet, args=(SECONDS,))
    waiting.start()
    address = (pair[0], hosts.port(first._env))
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"hello another-job 127.0.0.3\n", f"hello {name} mallory\n".encode()):
        with connected(address) as stranger:
            stranger.sendall(words)
            with suppress(ConnectionResetError):  # what it said was not taken
                assert stranger.recv(10) == b""
    second.meet(SECONDS)
    waiting.join(SECONDS)
    assert not waiting.is_alive()
    for each in (second, first):
        each.leave(0)


def connected(address) -> socket.socket:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            connection = socket.create_connection(address)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            connection.settimeout(SECONDS)
            return connection
