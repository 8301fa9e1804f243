"""MLflow's page: where it listens, on what, and that nothing of it stays."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import experiments
from scripts.environments.environment import SetupError


def test_port_that_is_taken_is_refused_before_anything_is_made():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} of 127.0.0.1 cannot be had .*EXPERIMENTS_PORT=N"):
            experiments.check_port(port)


def test_page_is_of_the_store_beside_the_jobs_and_for_this_machine_alone(tmp_path: Path):
    command = experiments.page_command(Path("/env/bin/python"), tmp_path, 4641)

    assert command[:4] == ["/env/bin/python", "-m", "mlflow", "server"]
    assert command[command.index("--backend-store-uri") + 1] == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_page_that_ends_at_once_is_told_with_where_its_words_are(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", ""]) as page:
        page.wait(20)
        with pytest.raises(SetupError, match="did not start; .*server.log says why"):
            experiments.await_page(page, 9, tmp_path / "server.log")


def test_page_and_what_it_has_started_are_gone_when_this_is_told_to_end(tmp_path: Path):
    (tmp_path / "mlflow").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = f"""
import socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
with socket.create_server(("127.0.0.1", {port})):
    time.sleep(100)
"""
    program = f"""
import sys
from pathlib import Path
from scripts.experiments import show
show([sys.executable, "-c", {page!r}], Path({str(tmp_path)!r}), {port})
"""
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert f"http://127.0.0.1:{port}" in process.stderr.readline()
        child = int((tmp_path / "child").read_text())
        process.terminate()
        process.wait(60)
    status = Path(f"/proc/{child}/stat")

    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"
