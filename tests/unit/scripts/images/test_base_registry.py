import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy
from urllib.parse import parse_qs, urlsplit

import pytest

from scripts import bump_base
from scripts.images.entry import ROOT, ImageError, read_images
from scripts.images.registry import Reference, find_digest

DIGEST = "sha256:" + "ab" * 32


class Registry(BaseHTTPRequestHandler):
    """Has one image, and shows it to who has fetched a token first."""

    def do_HEAD(self) -> None:
        if self.headers.get("Authorization") != "Bearer given":
            realm = (
                f'Bearer realm="http://{self.headers["Host"]}/token",service="here",scope="repository:team/base:pull"'
            )
            self._answer(401, {"WWW-Authenticate": realm})
        elif self.path == "/v2/team/base/manifests/1" and "oci.image.index" in self.headers["Accept"]:
            self._answer(200, {"Docker-Content-Digest": DIGEST})
        elif self.path == "/v2/team/silent/manifests/1":
            self._answer(200, {})
        else:
            self._answer(404, {})

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        good = asked == {"service": ["here"], "scope": ["repository:team/base:pull"]}
        body = json.dumps({"token": "given" if good else "wrong"}).encode()
        self._answer(200, {"Content-Length": str(len(body))}, body)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, code: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "registry", "repository", "tag"),
    [
        ("debian:trixie-slim", "registry-1.docker.io", "library/debian", "trixie-slim"),
        ("team/base", "registry-1.docker.io", "team/base", "latest"),
        ("localhost:5000/team/base:1", "localhost:5000", "team/base", "1"),
        ("public.example.com/base:1", "public.example.com", "base", "1"),
    ],
)
def test_names_are_taken_apart_as_docker_does(name: str, registry: str, repository: str, tag: str):
    assert Reference.parse(name) == Reference(registry=registry, repository=repository, tag=tag)


def test_digest_is_found_after_the_registry_has_given_a_token(address: str):
    assert find_digest(f"{address}/team/base:1") == DIGEST


def test_image_that_the_registry_has_not_is_told_by_name_and_answer(address: str):
    with pytest.raises(ImageError, match="no '.*/team/base:2' for us .404 Not Found .*manifests/2"):
        find_digest(f"{address}/team/base:2")


def test_registry_that_tells_no_digest_is_an_error(address: str):
    with pytest.raises(ImageError, match="tells no digest of '.*/team/silent:1'"):
        find_digest(f"{address}/team/silent:1")


def test_registry_out_of_reach_is_told_with_what_to_do(unused_port: int):
    with pytest.raises(ImageError, match="No registry is in reach for '127.0.0.1:.*Connection refused.* HTTPS_PROXY"):
        find_digest(f"127.0.0.1:{unused_port}/team/base:1")


def test_bump_writes_the_digest_behind_every_entry_of_the_base(address: str, tmp_path: Path, capsys):
    copy(ROOT / "images.json", tmp_path)
    path = tmp_path / "images.json"
    path.write_text(path.read_text().replace("debian:trixie-slim", f"{address}/team/base:1"))
    before = path.read_text()

    assert bump_base.main(["--root", str(tmp_path)]) == 0

    assert {image.base_digest for image in read_images(tmp_path).values()} == {DIGEST}
    assert path.read_text() == before.replace('"base_digest": ""', f'"base_digest": "{DIGEST}"')
    assert "after no pin" in capsys.readouterr().out


def test_bump_changes_nothing_where_no_registry_answers(tmp_path: Path, unused_port: int, capsys):
    copy(ROOT / "images.json", tmp_path)
    path = tmp_path / "images.json"
    path.write_text(path.read_text().replace("debian:trixie-slim", f"127.0.0.1:{unused_port}/base:1"))
    before = path.read_text()

    assert bump_base.main(["--root", str(tmp_path)]) == 1
    assert path.read_text() == before
    assert "No registry is in reach" in capsys.readouterr().err


@pytest.fixture
def unused_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        return server.server_port
