"""What the feeder brings through a FIFO: files; S3 beside one plain boto3 download; S3 beside one connection.

    make bench/feeder

The reader is this process; the feeder is the program that a job has. One epoch is one measurement; the first of each
feeder is not measured, as clients connect in it. The last pair reads from a server, in a process of its own, that
limits each connection to 80 MB/s, as S3 does.
"""

import argparse
import fcntl
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import docker
import trainjob
from botocore.config import Config

from benchmarks.rounds import Target, measure, parser, ratio, report
from local_mode.channels.s3_access import S3Access
from local_mode.channels.s3_source import S3Source
from local_mode.channels.sending import PIPE_BYTES
from local_mode.endpoint import Files, find

REPOSITORY = Path(__file__).parents[1]
FILES, FILE_BYTES = 8, 128 << 20
OBJECT_BYTES = 512 << 20
LIMITED_BYTES = 400 << 20
CONNECTION_BYTES_PER_SECOND = 80_000_000
BUCKET, KEY = "bench", "object"
START_SECONDS = 60
TAG = '"of-the-benchmark"'
TARGETS = {"file_gb_per_s": Target(least=1.0), "s3_vs_boto3": Target(least=0.8), "parallel_vs_single": Target(least=4)}


class _Limited(BaseHTTPRequestHandler):
    """One object, of zeros, over connections of a limited speed."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(span[1]), min(int(span[2]) + 1, LIMITED_BYTES)) if span else (0, LIMITED_BYTES)
        self.send_response(206 if span else 200)
        self.send_header("ETag", TAG)
        self.send_header("Content-Length", str(end - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{LIMITED_BYTES}")
        self.end_headers()
        piece, begun, sent = memoryview(bytes(1 << 20)), time.monotonic(), 0
        while sent < end - start:
            sent += self.connection.send(piece[: end - start - sent])
            time.sleep(max(0.0, begun + sent / CONNECTION_BYTES_PER_SECOND - time.monotonic()))

    def log_message(self, *_: Any) -> None:
        pass


def _serve_limited() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Limited)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def _process(*argv: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, *argv], text=True, env=_environment(**options), stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=START_SECONDS)


def _environment(**more: str) -> dict[str, str]:
    folders = (REPOSITORY, Path(trainjob.__file__).parents[1], Path(docker.__file__).parents[1])
    return {"PYTHONPATH": os.pathsep.join(map(str, folders)), "PATH": os.environ["PATH"], **more}


@contextmanager
def _limited() -> Iterator[S3Access]:
    with _process("-m", "benchmarks.feeder", "--serve-limited") as process:
        assert process.stdout
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield S3Access(endpoint=url, region="us-east-1", access_key="key", secret="secret")  # noqa: S106  of nothing


@contextmanager
def _embedded(folder: Path) -> Iterator[S3Access]:
    """The endpoint, with the object in it."""
    with _process("-m", "local_mode", "serve", "--port", "0", "--runtime", "process", "--root", str(folder)):
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "endpoint.json").exists():
            assert time.monotonic() < deadline, "the endpoint does not start"
            time.sleep(0.05)
        here = find(Files(root=folder.resolve()))
        access = S3Access(endpoint=here.url, region=here.region, access_key=here.access_key, secret=here.secret)
        client = _client(access)
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key=KEY, Body=bytes(OBJECT_BYTES))
        yield access


def _client(access: S3Access) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret,
        config=Config(proxies={}, s3={"addressing_style": "path"}, read_timeout=300),
    )


@contextmanager
def _fed(folder: Path, objects: list[dict[str, Any]], access: S3Access | None = None) -> Iterator[Callable[[], float]]:
    """A feeder; each call reads one epoch and gives its bytes a second."""
    folder.mkdir()
    how = {"attributes": [], "record_io": False, "gzip": False, "order": {}}
    document = {"folder": str(folder), "parent": os.getpid(), "channels": [{"channel": "c", "objects": objects, **how}]}
    plan = folder / "plan.json"
    plan.write_text(json.dumps(document))
    total, epochs = sum(item["size"] for item in objects), iter(range(1_000_000))

    def read() -> float:
        fifo = folder / f"c_{next(epochs)}"
        deadline = time.monotonic() + START_SECONDS
        while not fifo.exists():
            assert time.monotonic() < deadline, f"no {fifo}"
            time.sleep(0.001)
        begun = time.perf_counter()
        count = _drain(fifo)
        assert count == total, (count, total)
        return count / (time.perf_counter() - begun)

    with _process("-m", "local_mode.channels.feeder", str(plan), **(access.environment() if access else {})):
        read()
        yield read


def _drain(fifo: Path) -> int:
    handle = os.open(fifo, os.O_RDONLY)
    fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    buffer, total = [bytearray(PIPE_BYTES)], 0
    while count := os.readv(handle, buffer):
        total += count
    os.close(handle)
    return total


class _Counter(io.RawIOBase):
    """Takes a download in and keeps nothing of it, as the drain of a FIFO does."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


def _downloaded(client: Any, download: Callable[[Any], None], size: int) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter()
        download(client)
        return size / (time.perf_counter() - begun)

    return run


def _boto3(client: Any) -> None:
    client.download_fileobj(BUCKET, KEY, _Counter())


def _single(client: Any) -> None:
    body = client.get_object(Bucket=BUCKET, Key=KEY)["Body"]
    assert sum(map(len, iter(lambda: body.read(1 << 20), b""))) == LIMITED_BYTES


def _listed(access: S3Access) -> list[dict[str, Any]]:
    found = S3Source(access).one(f"s3://{BUCKET}/{KEY}")
    return [{"key": found.key, "size": found.size, "tag": found.tag}]


def main() -> None:
    """Run the rounds and print the figures."""
    options = parser("What the feeder brings through a FIFO.")
    options.add_argument("--serve-limited", action="store_true", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.serve_limited:
        _serve_limited()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [folder / f"file{number}" for number in range(FILES)]
        for path in files:
            path.write_bytes(os.urandom(1 << 20) * (FILE_BYTES >> 20))
        embedded = stack.enter_context(_embedded(folder / "root"))
        limited = stack.enter_context(_limited())
        one = [{"key": f"s3://{BUCKET}/{KEY}", "size": LIMITED_BYTES, "tag": TAG}]
        figures = measure(
            {
                "files": stack.enter_context(
                    _fed(folder / "files", [{"key": str(path), "size": FILE_BYTES} for path in files])
                ),
                "s3": stack.enter_context(_fed(folder / "s3", _listed(embedded), embedded)),
                "boto3": _downloaded(_client(embedded), _boto3, OBJECT_BYTES),
                "parallel": stack.enter_context(_fed(folder / "limited", one, limited)),
                "single": _downloaded(_client(limited), _single, LIMITED_BYTES),
            },
            arguments.rounds,
        )
    ratios = {
        "s3_vs_boto3": ratio(figures, "s3", "boto3"),
        "parallel_vs_single": ratio(figures, "parallel", "single"),
    }
    speed = statistics.median(figures["files"]) / 1e9
    report("feeder", "bytes/s", figures, ratios, TARGETS, check=arguments.check, file_gb_per_s=speed)


if __name__ == "__main__":
    main()
