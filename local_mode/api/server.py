"""One port for all of AWS: who may call, and which of the two answers, the jobs here or the services behind."""

import errno
import re
import socket
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator

from local_mode.api import hosts, wire
from local_mode.api.reach import HOSTS, LOOPBACK
from local_mode.api.signature import AccessKey, Signed, admit, service_of, verify
from local_mode.api.training_jobs import TrainingJobs
from local_mode.api.validation import has_operation
from local_mode.api.wire import ApiError
from local_mode.object_store.body import Body
from local_mode.page.views import is_for_page

SERVICES = ("ecr", "iam", "logs", "monitoring", "s3", "sagemaker", "sts")
"""As in a credential scope. Others of moto would start containers and reach out of their own accord."""
_CLOSED = ("/moto-api", "/moto_api", "/latest/")
"""moto's own switches, and an instance's metadata."""
METRICS_PATH = "/BatchPutMetrics"
"""Of the service that takes a trial component's metrics, whose operations go by paths."""
_JSON_BYTES = 8 << 20
_OBJECT_BYTES = 5 << 30
"""What S3 takes in one request."""
_CHUNK = 1 << 20
_HEADERS = "local_mode.headers"
_HOST = re.compile(r"(?P<name>[^:]*)(?::[0-9]{1,5})?")
DIVERTED = "local_mode.diverted"
"""In a request's environment: the host of AWS whose TLS connection ended here, by the name it was asked for."""


Guard = Callable[[str, WSGIEnvironment, Body], None]
"""Refuses a request for a service with an ApiError, or lets it pass."""


def _let_pass(service: str, environ: WSGIEnvironment, body: Body) -> None:
    pass


class Handler(WSGIRequestHandler):
    """Hands the headers on as they came, and says nothing of requests that went well."""

    disable_nagle_algorithm = True  # or the second packet of a small answer waits 40 ms for the first one's receipt
    timeout = 120  # a connection nobody uses does not keep its thread for ever

    def make_environ(self) -> WSGIEnvironment:
        """The WSGI environment, with the raw headers for the signature."""
        environ = super().make_environ()
        environ[_HEADERS] = tuple(self.headers.items())
        return environ

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


class Front:
    """The WSGI application."""

    def __init__(  # noqa: PLR0913  # what it stands between, each by its name
        self,
        *,
        operations: TrainingJobs | None,
        behind: WSGIApplication,
        key: AccessKey,
        body: Callable[[bool], Body],
        note: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        hosts: tuple[str, ...] = HOSTS,
        guard: Guard = _let_pass,
        page: WSGIApplication | None = None,
    ) -> None:
        """`behind` answers for all other services; `note` is told of our own defects; `page` is for browsers.

        `body` makes a place for a request's body; it is told whether that may become an object. `hosts` are the names
        that clients call this machine by. `guard` is asked about every request that is signed with the key.
        """
        self._page = page
        self._operations, self._behind, self._body = operations, behind, body
        self._key, self._note, self._clock = key, note, clock
        self._hosts, self._guard = hosts, guard

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        service = ""
        try:
            _check_caller(environ, self._hosts)
            if self._page is not None and DIVERTED not in environ and is_for_page(environ):
                return self._page(environ, start_response)
            target = environ.get("REQUEST_URI") or environ["RAW_URI"]
            request = Signed(method=environ["REQUEST_METHOD"], target=target, headers=environ[_HEADERS])
            service = service_of(request)
            admit(request, self._key, now=self._clock())
            with ExitStack() as held:
                body = held.enter_context(self._body(service == "s3"))
                _read(environ, body, _OBJECT_BYTES if service == "s3" else _JSON_BYTES)
                verify(request, self._key, body_sha256=body.sha256)
                self._guard(service, environ, body)
                _take_over(environ)
                answer = self._answer(service, environ, body, start_response)
                # Its bytes are sent later, and may come from the body: that is closed with it.
                return ClosingIterator(answer, held.pop_all().close)
        except ApiError as problem:
            refusal = wire.error(problem, service, environ.get("CONTENT_TYPE", ""))
        except NotImplementedError as error:
            text = f"local_mode's stand-in for {service} does not have this operation: {error}"
            refusal = wire.error(ApiError("NotImplemented", text, 501), service)
        except Exception as error:  # noqa: BLE001  # the outermost frame of a request: it must be answered
            refusal = wire.error(self._unforeseen(error), service)
        return refusal(environ, start_response)

    def _unforeseen(self, error: Exception) -> ApiError:
        """The answer where nothing of ours refused a request; its traceback is noted, unless the disk is full."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" under {Path(error.filename).parent}" if error.filename else ""
            # S3 has no such answer; SDKs ask again after those that it has, and here that is of no use.
            return ApiError("InsufficientStorage", f"The disk is full{where} ({error.strerror}); make room there.", 507)
        self._note(traceback.format_exc())
        return ApiError("InternalFailure", f"{type(error).__name__}: {error}", 500)

    def _answer(
        self, service: str, environ: WSGIEnvironment, body: Body, start_response: StartResponse
    ) -> Iterable[bytes]:
        if service not in SERVICES:
            text = f"local_mode has no {service!r}; it has {', '.join(SERVICES)}."
            raise ApiError("NotImplemented", text, 501)
        operation = wire.operation(environ.get("HTTP_X_AMZ_TARGET", ""))
        if service == "sagemaker" and operation is not None:
            if not has_operation(operation):
                raise ApiError("UnknownOperationException", f"SageMaker has no operation {operation!r}.")
            document = wire.read(body.read())
            if self._operations and self._operations.has(operation, document):
                return wire.result(self._operations.answer(operation, document))(environ, start_response)
            body.rewind()
        if service == "sagemaker" and self._operations and environ.get("PATH_INFO") == METRICS_PATH:
            return wire.result(self._operations.put_metrics(wire.read(body.read())))(environ, start_response)
        environ |= {"wsgi.input": body, "local_mode.service": service}
        return self._behind(environ, start_response)


def make(app: WSGIApplication, listener: socket.socket, handler: type[WSGIRequestHandler]) -> BaseWSGIServer:
    """A server with a thread per connection, on a socket that listens already."""
    host, port = listener.getsockname()
    return make_server(host, port, app, threaded=True, request_handler=handler, fd=listener.fileno())


def listen(port: int, address: str = LOOPBACK) -> socket.socket:
    """A socket on an address of this machine; 0 is any free port.

    Raises:
        OSError: the port is taken, or this machine does not have the address.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _check_caller(environ: WSGIEnvironment, names: tuple[str, ...]) -> None:
    """Refuse what a browser would send for a page, before anything of it is read."""
    given = environ.get("HTTP_HOST", "")
    # What is no port would be read by others as more of the name.
    found = _HOST.fullmatch(given)
    host = found["name"] if found else given
    # Only who has the proxy's password gets as far as a TLS connection that ends here.
    expected = (environ[DIVERTED],) if DIVERTED in environ else names
    if hosts.normal(host) not in expected:
        text = f"Host {host!r} is not whom this connection is to; call {' or '.join(expected)}."
        raise ApiError("AccessDeniedException", text, 403)
    if "HTTP_ORIGIN" in environ:
        raise ApiError("AccessDeniedException", "Requests of web pages (Origin) are refused.", 403)
    if environ.get("PATH_INFO", "").startswith(_CLOSED):
        raise ApiError("AccessDeniedException", f"{environ['PATH_INFO']} is closed.", 403)


def _take_over(environ: WSGIEnvironment) -> None:
    """Let a request to a host of AWS look like one to this endpoint: the bucket is in the path, not in the name."""
    if DIVERTED not in environ:
        return
    environ["HTTP_HOST"] = f"{LOOPBACK}:{environ['SERVER_PORT']}"
    if bucket := hosts.bucket(environ[DIVERTED]):
        for name in ("PATH_INFO", "REQUEST_URI", "RAW_URI"):
            rest = environ[name]
            environ[name] = f"/{bucket}{rest[1:] if rest == '/' or rest.startswith('/?') else rest}"


def _read(environ: WSGIEnvironment, body: Body, most: int) -> None:
    """Bring all of the body in.

    Raises:
        ApiError: it has more than `most` bytes, or fewer than it says.
    """
    length = environ.get("CONTENT_LENGTH", "")
    if length and (not length.isdigit() or int(length) > most):
        raise ApiError("RequestEntityTooLargeException", f"A request has at most {most} bytes.", 413)
    left = int(length) if length else most + 1 if environ.get("wsgi.input_terminated") else 0
    while body.size < left and (chunk := environ["wsgi.input"].read(min(_CHUNK, left - body.size))):
        body.write(chunk)
    if body.size > most:
        raise ApiError("RequestEntityTooLargeException", f"A request has at most {most} bytes.", 413)
    if length and body.size < left:
        raise ApiError("IncompleteBody", f"The body ended after {body.size} of {left} bytes.")
    body.rewind()
    if body.size:
        environ["CONTENT_LENGTH"] = str(body.size)
