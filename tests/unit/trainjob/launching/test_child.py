import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trainjob.launching import child


def test_it_runs_where_and_as_it_was_told(tmp_path: Path) -> None:
    source = "import os, sys; sys.stderr.write(repr([sys.argv[1:], os.environ['A'], os.getcwd()]))"
    started = child.start([sys.executable, "-c", source, "two words", "$A *"], {"A": "é"}, tmp_path)
    assert started.communicate(timeout=20)[1].decode() == repr([["two words", "$A *"], "é", str(tmp_path)])


def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        child.start(["/no/such/program"], os.environ, None)


def test_it_dies_with_the_process_that_started_it() -> None:
    source = "import os; from trainjob.launching import child; p = child.start(['sleep', '50'], os.environ, None); "
    source += "os.write(1, str(p.pid).encode()); os._exit(0)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=20, check=True)
    deadline = time.monotonic() + 5
    while alive(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
