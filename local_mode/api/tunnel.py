"""Bytes to and from another host, directly or through the proxy that a caller had before."""

import http.client
import socket
import ssl
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import unquote, urlsplit

CONNECT_SECONDS = 20.0
IDLE_SECONDS = 600.0
"""Without a byte in either direction; then a tunnel is closed."""
_BLOCK = 64 << 10
_PORTS = {"http": 80, "https": 443}


class _Unbuffered:
    """Lets HTTPResponse read no more than the head: what follows belongs to the tunnel."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> IO[bytes]:
        """The socket as a file."""
        return self._stream.makefile("rb", buffering=0)  # type: ignore[return-value]  # raw, which is the point


def dial(host: str, port: int, upstream: str) -> socket.socket:
    """A connection to a host, through the proxy `upstream` unless that is empty.

    Raises:
        OSError: there is none to be had.
    """
    if not upstream:
        return socket.create_connection((host, port), CONNECT_SECONDS)
    url = urlsplit(upstream if "://" in upstream else f"http://{upstream}")
    if url.scheme not in _PORTS or not url.hostname:
        raise OSError(f"the proxy before this one is a {url.scheme or 'nameless'} one; only http and https are known")
    stream = socket.create_connection((url.hostname, url.port or _PORTS[url.scheme]), CONNECT_SECONDS)
    try:
        if url.scheme == "https":
            stream = ssl.create_default_context().wrap_socket(stream, server_hostname=url.hostname)
        _ask(stream, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", url.username, url.password)
    except BaseException:
        stream.close()
        raise
    return stream


def _ask(stream: socket.socket, target: str, user: str | None, password: str | None) -> None:
    """Ask a proxy for a tunnel."""
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if user is not None:
        secret = b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
        head += f"Proxy-Authorization: Basic {secret}\r\n"
    stream.sendall(f"{head}\r\n".encode("latin-1"))
    answer = http.client.HTTPResponse(_Unbuffered(stream), method="CONNECT")  # type: ignore[arg-type]
    try:
        answer.begin()
        if answer.status != 200:
            raise OSError(f"the proxy before this one says {answer.status} {answer.reason}")
    except http.client.HTTPException as error:
        raise OSError(f"the proxy before this one does not speak HTTP: {error!r}") from error
    finally:
        answer.close()


@dataclass
class _Pulse:
    """When a byte last went through a tunnel."""

    idle: float
    last: float = field(default_factory=time.monotonic)

    def is_over(self) -> bool:
        return time.monotonic() - self.last > self.idle


def join(one: socket.socket, other: socket.socket, idle: float = IDLE_SECONDS) -> None:
    """Carry bytes both ways until both sides have ended, one breaks, or nothing has come for `idle` seconds."""
    pulse = _Pulse(idle=idle)
    for stream in (one, other):
        stream.settimeout(idle)
    back = threading.Thread(target=_carry, args=(other, one, pulse), daemon=True, name="tunnel")
    back.start()
    _carry(one, other, pulse)
    back.join()


def _carry(source: socket.socket, sink: socket.socket, pulse: _Pulse) -> None:
    """One direction; at its end the other side is told, so that it can end too."""
    try:
        while True:
            try:
                block = source.recv(_BLOCK)
            except TimeoutError:
                if pulse.is_over():
                    break
                continue  # the other direction is alive
            pulse.last = time.monotonic()
            if not block:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(block)
    except OSError:
        pass  # a side that is gone ends the tunnel, as it would have ended the connection
    for stream in (source, sink):
        _shut(stream)


def _shut(stream: socket.socket) -> None:
    try:
        stream.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is shut already
