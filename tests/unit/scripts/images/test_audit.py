import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import audit_locks
from scripts.images import audit
from scripts.images.entry import ImageError
from scripts.publishing import allowlist
from scripts.publishing.allowlist import Allowance

TODAY = date(2026, 6, 1)
LOCK = """
good==1.0 \\
    --hash=sha256:aa
bad==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:bb
    # via good
"""


class Osv(BaseHTTPRequestHandler):
    """An OSV service that knows one vulnerability, of `bad`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mended = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}]
        about = {"package": {"name": "bad", "ecosystem": "PyPI"}, "ranges": mended}
        vulns = [{"id": "GHSA-1", "aliases": ["CVE-2026-1"], "summary": "it leaks", "affected": [about]}]
        body = json.dumps({"vulns": vulns} if asked["package"]["name"] == "bad" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


def test_vulnerability_is_found_whatever_platform_its_package_is_for(lock: Path, service: str):
    found = audit.run(lock, allowed=[], service=service)

    assert (found.looked_at, found.not_looked_at, found.waived) == (2, [], [])
    assert found.vulnerable == ["bad 2.0: CVE-2026-1, mended in 2.1"]


@pytest.mark.parametrize(
    ("identity", "package", "waived"),
    [("CVE-2026-1", "", True), ("GHSA-1", "bad", True), ("GHSA-1", "good", False), ("GHSA-2", "", False)],
)
def test_what_is_allowed_is_told_apart_by_vulnerability_and_package(
    lock: Path, service: str, identity: str, package: str, waived: bool
):
    allowance = Allowance(id=identity, package=package, reason="never called", until=TODAY)

    found = audit.run(lock, allowed=[allowance], service=service)

    assert (len(found.waived), len(found.vulnerable)) == ((1, 0) if waived else (0, 1))


def test_allowance_whose_day_has_passed_fails_the_audit(tmp_path: Path, monkeypatch, service: str, capsys):
    path = tmp_path / "allowed.toml"
    path.write_text('[[allowed]]\nid = "CVE-1"\nreason = "unused"\nuntil = 2020-01-01\n')
    monkeypatch.setattr(allowlist, "PLACE", path)

    assert audit_locks.main(["keras", "--service", service, "--reports", str(tmp_path)]) == 2
    assert "CVE-1 until 2020-01-01" in capsys.readouterr().err


def test_service_out_of_reach_is_an_error_and_no_pass(lock: Path):
    with pytest.raises(ImageError, match="No vulnerability service answers .*nothing was audited.*AUDIT_URL"):
        audit.run(lock, allowed=[], service="http://127.0.0.1:9/v1/query")


def test_package_that_was_not_looked_at_is_no_pass():
    answer = {
        "dependencies": [{"name": "good", "version": "1.0", "vulns": []}, {"name": "x", "skip_reason": "unknown"}]
    }

    found = audit.judge(answer, 3, [])

    assert found.not_looked_at == ["x: unknown", "3 packages are pinned, and the answer is about 2"]


def test_lock_that_pins_nothing_is_refused(tmp_path: Path):
    (tmp_path / "lock").write_text("# nothing\n")

    with pytest.raises(ImageError, match="nothing to audit in .*/lock"):
        audit.run(tmp_path / "lock", allowed=[])


def test_command_ends_with_two_and_a_failed_report_where_nobody_answers(tmp_path: Path, capsys):
    code = audit_locks.main(["pytorch", "--service", "http://127.0.0.1:9/v1/query", "--reports", str(tmp_path)])

    suite = ET.parse(tmp_path / "junit" / "audit.xml").getroot()
    assert code == 2
    assert suite.attrib["failures"] == "1"
    assert "nothing was audited" in capsys.readouterr().err


def test_command_looks_at_all_that_is_locked(tmp_path: Path, service: str, capsys):
    code = audit_locks.main(["keras", "--service", service, "--reports", str(tmp_path)])

    assert code == 0
    assert int(capsys.readouterr().out.split()[1]) > 50
