import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from trainjob.errors import DatasetError

from scripts.datasets.archive import Archive

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Site:
    """A web server on this machine; `knows_ranges` and `cut_after` change how it behaves."""

    address: str = ""
    knows_ranges: bool = True
    cut_after: int = len(CONTENT)
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and site.knows_ranges else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start : site.cut_after])

        def log_message(self, *arguments):
            """Keeps quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}/things.tar.gz"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def test_archive_is_downloaded_once_and_then_found(site: Site, tmp_path: Path):
    archive = Archive(address=site.address, md5=MD5)

    first, second = archive.fetch(tmp_path), archive.fetch(tmp_path)

    assert first == second == tmp_path / "things.tar.gz"
    assert first.read_bytes() == CONTENT
    assert site.ranges == [None]


def test_download_goes_on_where_it_was_cut_off(site: Site, tmp_path: Path):
    archive = Archive(address=site.address, md5=MD5)
    site.cut_after = 300_000
    with pytest.raises(DatasetError, match=r"ended after 300,000 of 1,280,000 bytes; the next call goes on"):
        archive.fetch(tmp_path)
    assert not (tmp_path / "things.tar.gz").exists()

    site.cut_after = len(CONTENT)

    assert archive.fetch(tmp_path).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=300000-"]


def test_download_starts_over_at_a_server_without_ranges(site: Site, tmp_path: Path):
    (tmp_path / "things.tar.gz.part").write_bytes(CONTENT[:1000])
    site.knows_ranges = False

    assert Archive(address=site.address, md5=MD5).fetch(tmp_path).read_bytes() == CONTENT


def test_download_that_lacks_only_its_check_is_accepted(site: Site, tmp_path: Path):
    (tmp_path / "things.tar.gz.part").write_bytes(CONTENT)

    assert Archive(address=site.address, md5=MD5).fetch(tmp_path).read_bytes() == CONTENT


def test_wrong_checksum_is_told_and_nothing_of_it_kept(site: Site, tmp_path: Path):
    with pytest.raises(DatasetError, match=f"has the md5 checksum {MD5}, not 0000"):
        Archive(address=site.address, md5="0000").fetch(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_address_out_of_reach_is_named_with_what_to_do(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"Cannot download http://127\.0\.0\.1:9/a\.gz: .*refused.*--from DIR"):
        Archive(address="http://127.0.0.1:9/a.gz", md5=MD5).fetch(tmp_path)
