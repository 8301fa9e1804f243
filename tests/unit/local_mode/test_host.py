import subprocess
import sys
from pathlib import Path

import pytest

from local_mode import host
from local_mode.errors import HostError

ROOT = Path(__file__).resolve().parents[3]


def pretend(monkeypatch, system, machine):
    monkeypatch.setattr(host.platform, "system", lambda: system)
    monkeypatch.setattr(host.platform, "machine", lambda: machine)


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_other_machines_are_refused_with_a_way_out(monkeypatch, system, machine):
    pretend(monkeypatch, system, machine)

    with pytest.raises(HostError, match=f"runs on Linux x86-64; this is {system} {machine}. Run it in Docker"):
        host.check()


def test_linux_on_x86_64_is_accepted(monkeypatch):
    pretend(monkeypatch, "Linux", "x86_64")

    host.check()


def test_check_needs_nothing_that_has_to_be_installed():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from local_mode import host"

    subprocess.run([sys.executable, "-I", "-S", "-c", code, ROOT], check=True)
