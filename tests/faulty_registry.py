"""A small registry in a thread of this process, which can be told to misbehave; an engine can push to it."""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

RESET = "reset"
"""In place of a status: the connection is reset after some bytes of the request's body."""
FULL = {"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": {"Err": 28, "Op": "write"}}]}
"""What docker-registry answers, with status 500, when its disk is full."""
DENIED = {
    "errors": [
        {
            "code": "DENIED",
            "message": "User: arn:aws:iam::111122223333:user/eve is not authorized to perform: ecr:InitiateLayerUpload "
            "on resource: arn:aws:ecr:eu-central-1:111122223333:repository/r",
        }
    ]
}
"""What ECR answers, with status 403."""


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with requests, the first `times` of them."""

    method: str
    path: str
    """A regular expression."""
    status: int | str
    body: dict = field(default_factory=dict)
    times: int = 1_000_000
    after: int = 0
    """Bytes of the request's body that are read before a reset."""


@dataclass
class FaultyRegistry:
    """What it has, what goes wrong, and what was asked."""

    faults: list[Fault] = field(default_factory=list)
    user: str = ""
    """Who may call, as `name:password`; empty for anybody."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By repository and tag, or digest."""
    uploads: dict[str, bytearray] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    received: int = 0
    """Bytes of bodies."""
    host: str = ""

    @contextmanager
    def served(self):
        """Serve; its host and port."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.registry = self
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            self.host = f"127.0.0.1:{server.server_address[1]}"
            yield self.host
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def tags(self):
        return [reference for _, reference in self.manifests if not reference.startswith("sha256:")]

    def asked(self, method):
        return [path for asked, path in self.requests if asked == method]

    def fault(self, method, path):
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Clients may leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        registry, url = self.server.registry, urlsplit(self.path)
        registry.requests.append((self.command, self.path))
        fault = registry.fault(self.command, self.path)
        if fault and fault.status == RESET:
            return self._reset(fault.after)
        body = b"".join(self._body())
        registry.received += len(body)
        if fault:
            return self._answer(fault.status, json.dumps(fault.body).encode())
        if registry.user and self.headers.get("Authorization") != _basic(registry.user):
            challenge = {"WWW-Authenticate": 'Basic realm="test"'}
            return self._answer(401, _error("UNAUTHORIZED", "authentication required"), challenge)
        return self._route(url, body)

    def __getattr__(self, name):
        if name in ("do_HEAD", "do_POST", "do_PATCH", "do_PUT"):
            return self.do_GET
        raise AttributeError(name)

    def _route(self, url, body):
        registry = self.server.registry
        if url.path in ("/v2", "/v2/"):
            return self._answer(200, b"{}")
        if found := re.fullmatch(r"/v2/(.+)/tags/list", url.path):
            tags = [tag for name, tag in registry.manifests if name == found[1] and not tag.startswith("sha256:")]
            return self._answer(200 if tags else 404, json.dumps({"name": found[1], "tags": tags}).encode())
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", url.path):
            return self._manifest(found[1], found[2], body)
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/(.*)", url.path):
            return self._upload(found[1], found[2], parse_qs(url.query), body)
        if found := re.fullmatch(r"/v2/.+/blobs/(sha256:.+)", url.path):
            blob = registry.blobs.get(found[1])
            missing = _error("BLOB_UNKNOWN", "blob unknown")
            return self._answer(404, missing) if blob is None else self._answer(200, blob, _digest(found[1]))
        return self._answer(404, _error("NAME_UNKNOWN", url.path))

    def _manifest(self, name, reference, body):
        registry = self.server.registry
        if self.command == "PUT":
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            registry.manifests[name, reference] = registry.manifests[name, digest] = body
            return self._answer(201, b"", {"Location": f"/v2/{name}/manifests/{digest}", **_digest(digest)})
        body = registry.manifests.get((name, reference))
        if body is None:
            return self._answer(404, _error("MANIFEST_UNKNOWN", "manifest unknown"))
        kind = {"Content-Type": json.loads(body)["mediaType"]}
        return self._answer(200, body, {**kind, **_digest(f"sha256:{hashlib.sha256(body).hexdigest()}")})

    def _upload(self, name, upload, query, body):
        registry = self.server.registry
        if self.command == "POST":
            upload = uuid.uuid4().hex
            registry.uploads[upload] = bytearray()
        registry.uploads[upload] += body
        held = registry.uploads[upload]
        place = {"Location": f"http://{registry.host}/v2/{name}/blobs/uploads/{upload}", "Docker-Upload-UUID": upload}
        if self.command != "PUT":
            return self._answer(202, b"", {**place, "Range": f"0-{max(0, len(held) - 1)}"})
        digest = f"sha256:{hashlib.sha256(held).hexdigest()}"
        if query["digest"] != [digest]:
            return self._answer(400, _error("DIGEST_INVALID", "provided digest did not match uploaded content"))
        registry.blobs[digest] = bytes(registry.uploads.pop(upload))
        return self._answer(201, b"", {"Location": f"/v2/{name}/blobs/{digest}", **_digest(digest)})

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        elif length := int(self.headers.get("Content-Length") or 0):
            yield self.rfile.read(length)

    def _reset(self, after):
        if after:
            self.rfile.read(after)
        self.server.registry.received += after
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def _basic(user):
    return f"Basic {base64.b64encode(user.encode()).decode()}"


def _digest(digest):
    return {"Docker-Content-Digest": digest}


def _error(code, message):
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
