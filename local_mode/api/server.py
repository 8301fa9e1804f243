"""One port for all of AWS: who may call, and which of the two answers, the jobs here or the services behind."""

import hashlib
import socket
import tempfile
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import IO, Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from local_mode.api import wire
from local_mode.api.signature import AccessKey, Signed, admit, service_of, verify
from local_mode.api.training_jobs import TrainingJobs
from local_mode.api.validation import has_operation
from local_mode.api.wire import ApiError

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
"""Names a client may call this machine by. A page that had its own name point here would call it by that one."""
SERVICES = ("ecr", "iam", "logs", "monitoring", "s3", "sagemaker", "sts")
"""As in a credential scope. Others of moto would start containers and reach out of their own accord."""
_CLOSED = ("/moto-api", "/moto_api", "/latest/")
"""moto's own switches, and an instance's metadata."""
_JSON_BYTES = 8 << 20
_OBJECT_BYTES = 5 << 30
"""What S3 takes in one request."""
_IN_MEMORY = 8 << 20
_CHUNK = 1 << 20
_HEADERS = "local_mode.headers"


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

    def __init__(
        self,
        *,
        operations: TrainingJobs,
        behind: WSGIApplication,
        key: AccessKey,
        note: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`behind` answers for all other services; `note` is told of our own defects."""
        self._operations, self._behind = operations, behind
        self._key, self._note, self._clock = key, note, clock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        service = ""
        try:
            _check_caller(environ)
            target = environ.get("REQUEST_URI") or environ["RAW_URI"]
            request = Signed(method=environ["REQUEST_METHOD"], target=target, headers=environ[_HEADERS])
            service = service_of(request)
            admit(request, self._key, now=self._clock())
            with _read(environ, _OBJECT_BYTES if service == "s3" else _JSON_BYTES) as body:
                verify(request, self._key, body_sha256=body.sha256)
                return self._answer(service, environ, body, start_response)
        except ApiError as problem:
            answer = wire.error(problem, service)
        except NotImplementedError as error:
            text = f"local_mode's stand-in for {service} does not have this operation: {error}"
            answer = wire.error(ApiError("NotImplemented", text, 501), service)
        except Exception as error:  # noqa: BLE001  # the outermost frame of a request: it must be answered
            self._note(traceback.format_exc())
            text = f"{type(error).__name__}: {error}"
            answer = wire.error(ApiError("InternalFailure", text, 500), service)
        return answer(environ, start_response)

    def _answer(
        self, service: str, environ: WSGIEnvironment, body: IO[bytes], start_response: StartResponse
    ) -> Iterable[bytes]:
        if service not in SERVICES:
            text = f"local_mode has no {service!r}; it has {', '.join(SERVICES)}."
            raise ApiError("NotImplemented", text, 501)
        operation = wire.operation(environ.get("HTTP_X_AMZ_TARGET", ""))
        if service == "sagemaker" and operation is not None:
            if not has_operation(operation):
                raise ApiError("UnknownOperationException", f"SageMaker has no operation {operation!r}.")
            document = wire.read(body.read())
            if self._operations.has(operation, document):
                return wire.result(self._operations.answer(operation, document))(environ, start_response)
            body.seek(0)
        environ["wsgi.input"] = body
        # Read whole now, while the body is open: a large answer is in memory behind anyway.
        answer = self._behind(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            cast(Any, getattr(answer, "close", lambda: None))()


def make(app: WSGIApplication, listener: socket.socket, handler: type[WSGIRequestHandler]) -> BaseWSGIServer:
    """A server with a thread per connection, on a socket that listens already."""
    host, port = listener.getsockname()
    return make_server(host, port, app, threaded=True, request_handler=handler, fd=listener.fileno())


def listen(port: int) -> socket.socket:
    """A socket on loopback; 0 is any free port.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _check_caller(environ: WSGIEnvironment) -> None:
    """Refuse what a browser would send for a page, before anything of it is read."""
    host = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
    if host not in HOSTS:
        raise ApiError("AccessDeniedException", f"Host {host!r} is not this machine; call {' or '.join(HOSTS)}.", 403)
    if "HTTP_ORIGIN" in environ:
        raise ApiError("AccessDeniedException", "Requests of web pages (Origin) are refused.", 403)
    if environ.get("PATH_INFO", "").startswith(_CLOSED):
        raise ApiError("AccessDeniedException", f"{environ['PATH_INFO']} is closed.", 403)


class _Body(tempfile.SpooledTemporaryFile[bytes]):
    """A request's body, on disk when it is large."""

    sha256 = ""


def _read(environ: WSGIEnvironment, most: int) -> _Body:
    """The body, whole.

    Raises:
        ApiError: it has more than `most` bytes, or fewer than it says.
    """
    length = environ.get("CONTENT_LENGTH", "")
    if length and (not length.isdigit() or int(length) > most):
        raise ApiError("RequestEntityTooLargeException", f"A request has at most {most} bytes.", 413)
    left = int(length) if length else most + 1 if environ.get("wsgi.input_terminated") else 0
    body, digest, got = _Body(_IN_MEMORY), hashlib.sha256(), 0
    while got < left and (chunk := environ["wsgi.input"].read(min(_CHUNK, left - got))):
        got += len(chunk)
        digest.update(chunk)
        body.write(chunk)
    if got > most:
        raise ApiError("RequestEntityTooLargeException", f"A request has at most {most} bytes.", 413)
    if length and got < left:
        raise ApiError("IncompleteBody", f"The body ended after {got} of {left} bytes.")
    body.seek(0)
    body.sha256 = digest.hexdigest()
    if got:
        environ["CONTENT_LENGTH"] = str(got)
    return body
