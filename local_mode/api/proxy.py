"""A CONNECT proxy on the endpoint's own port: AWS's hosts end here, all others are reached as before.

For clients that will not be led elsewhere by AWS_ENDPOINT_URL: both SDKs pin STS to https and its own name.
"""

import hmac
import ssl
from base64 import b64decode
from collections.abc import Callable
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from local_mode.api import tunnel
from local_mode.api.certificates import Authority
from local_mode.api.hosts import Way, is_aws, normal, way
from local_mode.api.proxy_address import upstream_of
from local_mode.api.server import DIVERTED, Handler

_HANDSHAKE_SECONDS = 20
_ADVICE = "local_mode lets no call of this shell reach AWS; a shell without `local-mode env` does."


class Proxy:
    """Who may use the proxy, and what it says of itself."""

    def __init__(self, *, authority: Authority, password: str, note: Callable[[str], None]) -> None:
        """`note` is told of every call that would have reached AWS."""
        self.authority, self._password, self.note = authority, password, note

    def upstream(self, header: str) -> str | None:
        """The proxy that a caller had before, empty for none, told from Proxy-Authorization; None for strangers."""
        scheme, _, coded = header.partition(" ")
        try:
            user, _, password = b64decode(coded, validate=True).decode().partition(":")
        except ValueError:
            return None
        if scheme.lower() != "basic" or not hmac.compare_digest(password.encode(), self._password.encode()):
            return None
        return upstream_of(user)


class ProxyHandler(Handler):
    """Handles CONNECT, and after it what comes through the TLS connection that ends here."""

    proxy: Proxy
    """Set by a subclass."""
    diverted = ""
    """The name by which a TLS connection that ends here was asked for."""

    def do_CONNECT(self) -> None:  # noqa: N802  # http.server's naming
        """Answer a request for a tunnel."""
        self.close_connection = True
        host, port = _target(self.path)
        upstream = self.proxy.upstream(self.headers.get("Proxy-Authorization", ""))
        if self.diverted or not host:
            self._refuse(400, "Not a host and a port", f"{self.path!r} is no HOST:PORT to connect to.")
        elif upstream is None:
            text = 'This proxy is for shells that did: eval "$(local-mode env)".'
            self._refuse(407, "Proxy Authentication Required", text, ("Proxy-Authenticate", 'Basic realm="local_mode"'))
        elif (chosen := way(host, port)) is Way.ANSWERED:
            self._divert(host)
        elif chosen is Way.REFUSED:
            self.proxy.note(f"refused a connection to {host}:{port}; {_ADVICE}")
            self._refuse(403, f"local_mode does not stand in for {host}", _ADVICE)
        else:
            self._tunnel(host, port, upstream)

    def run_wsgi(self) -> None:
        """Refuse requests for other hosts over plain HTTP, hand all others to the application."""
        if not self.path.startswith(("/", "*")):
            host = urlsplit(self.path).hostname or ""
            if is_aws(host):
                self.proxy.note(f"refused a request to http://{host}; {_ADVICE}")
            self.close_connection = True
            self._refuse(403, "No proxy for plain HTTP", f"This is a proxy for https only, not for http://{host}.")
        else:
            super().run_wsgi()

    def make_environ(self) -> WSGIEnvironment:
        """The WSGI environment, with the name of the host whose place we take."""
        environ = super().make_environ()
        if self.diverted:
            environ[DIVERTED] = self.diverted
        return environ

    def handle(self) -> None:
        """Answer what comes over the connection, until it ends or breaks."""
        try:
            super().handle()
        except ssl.SSLError as error:
            self.proxy.note(f"TLS with a client that asked for {self.diverted} broke: {error}")

    def finish(self) -> None:
        """Close what this handler opened."""
        try:
            super().finish()
        finally:
            if self.diverted:
                self.connection.close()

    def _divert(self, host: str) -> None:
        context = self.proxy.authority.context(host)
        self._established()
        self.connection.settimeout(_HANDSHAKE_SECONDS)
        plain = self.connection
        try:
            self.request = context.wrap_socket(plain, server_side=True)
        except (OSError, ssl.SSLError) as error:
            plain.close()
            self.proxy.note(f"no TLS with a client that asked for {host}: {error}; does it read AWS_CA_BUNDLE?")
            return
        self.rfile.close()
        self.setup()
        self.diverted, self.close_connection = host, False

    def _tunnel(self, host: str, port: int, upstream: str) -> None:
        try:
            other = tunnel.dial(host, port, upstream)
        except (OSError, ValueError) as error:  # ValueError: a name or a port that cannot be one
            self._refuse(502, f"Cannot reach {host}", f"Cannot reach {host}:{port}: {error}.")
            return
        with other:
            self._established()
            tunnel.join(self.connection, other)

    def _established(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()

    def _refuse(self, status: int, reason: str, text: str, *headers: tuple[str, str]) -> None:
        body = f"{text}\n".encode()
        printable = reason.encode("ascii", "replace").decode()
        self.send_response_only(status, printable)
        length = ("Content-Length", str(len(body)))
        for name, value in (*headers, ("Content-Type", "text/plain; charset=utf-8"), length, ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _target(path: str) -> tuple[str, int]:
    """Host and port of a CONNECT, in plain letters; an empty host if it names none."""
    host, _, port = path.rpartition(":")
    # Of other letters a resolver would make plain ones, and of a name that is not AWS's one that is.
    if not (path.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return "", 0
    return normal(host.removeprefix("[").removesuffix("]")), int(port)
