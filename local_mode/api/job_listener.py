"""A listener for one job while it runs: on the address its containers see, for its own credentials, for S3 alone."""

import hmac
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug.serving import WSGIRequestHandler

from local_mode.api import job_guard, server
from local_mode.api.signature import AccessKey
from local_mode.api.wire import ApiError
from local_mode.jobs.door import Scope
from local_mode.object_store.body import Body

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Opens a listener for each job."""

    behind: WSGIApplication
    """Answers what is allowed."""
    body: Callable[[bool], Body]
    handler: type[WSGIRequestHandler]
    note: Callable[[str], None]

    def __call__(self, scope: Scope, address: str) -> "JobListener":
        """Listen on `address`, on a port of its own.

        Raises:
            OSError: this machine does not have the address.
        """
        return JobListener(self, scope, address)


class JobListener:
    """One job's listener, with credentials that nobody else has."""

    def __init__(self, doors: Doors, scope: Scope, address: str) -> None:
        self._scope = scope
        self._key = AccessKey(id=f"ASIA{secrets.token_hex(8).upper()}", secret=secrets.token_urlsafe(30))
        self._token = secrets.token_urlsafe(60)
        self._socket = server.listen(0, address)
        self._url = f"http://{address}:{self._socket.getsockname()[1]}"
        front = server.Front(
            operations=None,
            behind=doors.behind,
            key=self._key,
            body=doors.body,
            note=doors.note,
            hosts=(address,),
            guard=self._check,
        )
        self._http = server.make(front, self._socket, doors.handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": _LOOK_SECONDS}, daemon=True, name="job-http"
        )
        self._thread.start()

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which AWS's SDKs and sagemaker-training find it."""
        return {
            "AWS_ENDPOINT_URL": self._url,
            "S3_ENDPOINT_URL": self._url,
            "AWS_ACCESS_KEY_ID": self._key.id,
            "AWS_SECRET_ACCESS_KEY": self._key.secret,
            "AWS_SESSION_TOKEN": self._token,
        }

    def close(self) -> None:
        """Stop listening; the credentials are worth nothing from now on."""
        self._scope = Scope(read=(), write=())  # for connections that are open still
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread, which would look up only now and then
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._socket.close()

    def _check(self, service: str, environ: WSGIEnvironment, body: Body) -> None:
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN") or query.get("X-Amz-Security-Token", "")
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise ApiError("InvalidToken", "The provided token is malformed or otherwise invalid.", 403)
        job_guard.check(service, environ, body, self._scope)
