"""A small S3 in a thread of this process, which can be told to misbehave: listing, HEAD, and GET of ranges."""

import hashlib
import re
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from local_mode.channels.s3_access import S3Access
from local_mode.channels.s3_source import S3Source

BUCKET = "b"


@dataclass
class Faulty:
    """Objects by key, what goes wrong with them, and what was asked."""

    objects: dict[str, bytes] = field(default_factory=dict)
    resets: dict[str, list[int]] = field(default_factory=dict)
    """Per key, after how many bytes of a body the connection is reset; one entry is used up by each answer."""
    before: dict = field(default_factory=dict)
    """Per key, what is called before each answer; it may change the objects."""
    bytes_per_second: float = 0
    """Of each connection; 0 is no limit."""
    answer_seconds: float = 0
    """Until each answer."""
    together: int = 1
    """Answers to be under way at once before any is sent; one waits 10 s for the others at most."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, key and range."""
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def served(self):
        """Serve; its URL."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.store = self
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @contextmanager
    def source(self):
        """A Source of its objects, as s3://b/KEY."""
        with self.served() as url:
            yield S3Source(access(url))

    @contextmanager
    def counted(self):
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self._lock.notify_all()
            self._lock.wait_for(lambda: self.most_at_once >= self.together, 10)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@lru_cache(256)
def etag(data):
    return f'"{hashlib.md5(data).hexdigest()}"'


def access(url):
    return S3Access(endpoint=url, region="us-east-1", access_key="key", secret="secret")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    @property
    def piece(self):
        """Bytes sent at once: few where speed is limited, else many, as threads wait for each other between."""
        return 1 << 16 if self.store.bytes_per_second else 1 << 22

    def handle_error(self, request, client_address):
        """Clients may leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path.count("/") < 2 or url.path == f"/{BUCKET}/":
            self._list(parse_qs(url.query))
        else:
            self._answer()

    def _answer(self):
        store, key = self.server.store, unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        store.requests.append((self.command, key, self.headers.get("Range", "")))
        with store.counted():
            time.sleep(store.answer_seconds)
            if key in store.before:
                store.before[key]()
            if key not in store.objects:
                return self._refuse(404, "NoSuchKey")
            data = store.objects[key]
            tag = etag(data)
            if self.headers.get("If-Match", tag) != tag:
                return self._refuse(412, "PreconditionFailed")
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, end = (int(span[1]), min(int(span[2]) + 1, len(data))) if span else (0, len(data))
            if span and start >= len(data):
                return self._refuse(416, "InvalidRange")
            self.send_response(206 if span else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(end - start))
            if span:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.end_headers()
            if self.command == "GET":
                self._send(key, memoryview(data)[start:end])
        return None

    def _send(self, key, body):
        store, resets = self.server.store, self.server.store.resets.get(key)
        cut = resets.pop(0) if resets else None
        body = body if cut is None else body[:cut]
        begun, sent = time.monotonic(), 0
        while sent < len(body):
            piece = body[sent : sent + self.server.piece]
            self.wfile.write(piece)
            sent += len(piece)
            if store.bytes_per_second:
                time.sleep(max(0, begun + sent / store.bytes_per_second - time.monotonic()))
        if cut is not None:
            self.wfile.flush()
            time.sleep(0.02)  # a reset throws away what has not been read yet
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    def _list(self, query):
        prefix = query.get("prefix", [""])[0]
        store = self.server.store
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>{etag(data)}</ETag></Contents>"
            for key, data in sorted(store.objects.items())
            if key.startswith(prefix)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status, code):
        body = f"<Error><Code>{code}</Code><Message>{code} of the test</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass
