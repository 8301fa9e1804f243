"""Two hosts' launchers on loopback addresses: ranks handed out, a host that is lost ends the other, and is named."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

SECONDS = 40
NAMES = ("127.0.0.2", "127.0.0.3")
LAUNCH = "from trainjob import launch; launch.main()"
RANKS = """
import os
print(*(os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "GLOO_SOCKET_IFNAME")), flush=True)
"""
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
print(os.getpid(), flush=True)
time.sleep(60)
time.sleep(60)
"""
SAVING = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a handler would miss what comes just before a sleep begins
print(os.getpid(), flush=True)
signal.sigwait({signal.SIGTERM})
time.sleep(2)
print("saved", flush=True)
"""


class Host:
    def __init__(self, folder: Path, rank: int, source: str, job: str) -> None:
        self.failure = folder / "ml" / "output" / "failure"
        config = folder / "ml" / "input" / "config"
        config.mkdir(parents=True)
        told = {"hosts": NAMES, "current_host": NAMES[rank], "network_interface_name": "lo"}
        (config / "resourceconfig.json").write_text(json.dumps(told))
        (folder / "some_job").mkdir()
        (folder / "some_job" / "train_cifar10.py").write_text(source)
        environ = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": str(folder / "ml"),
            "TRAINJOB_PROGRAMS": "some_job",
            "TRAINING_JOB_NAME": job,
            "PYTHONPATH": os.pathsep.join((str(folder), os.environ["PYTHONPATH"])),
        }
        pipe = subprocess.PIPE
        self.launcher = subprocess.Popen([sys.executable, "-c", LAUNCH], env=environ, stdout=pipe, stderr=pipe)

    def line(self) -> str:
        return self.launcher.stdout.readline().decode().strip()

    def end(self) -> tuple[int, str]:
        out, _ = self.launcher.communicate(timeout=SECONDS)
        return self.launcher.returncode, out.decode()


@pytest.fixture
def start(tmp_path: Path):
    """Starts both hosts with these programs; the launchers are gone afterwards."""
    with ExitStack() as left:

        def run(*sources: str) -> list[Host]:
            job = f"job-{time.time_ns()}"
            hosts = [Host(tmp_path / str(rank), rank, source, job) for rank, source in enumerate(sources)]
            for host in hosts:
                left.enter_context(host.launcher)
                left.callback(host.launcher.kill)
            return hosts

        yield run


def test_programs_of_both_hosts_are_told_their_ranks(start):
    hosts = start(RANKS, RANKS)

    assert [host.end() for host in hosts] == [(0, "0 2 127.0.0.2 lo\n"), (0, "1 2 127.0.0.2 lo\n")]
    assert not any(host.failure.exists() for host in hosts)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("whole", [True, False], ids=["host", "program"])
def test_killed_host_ends_the_other_within_a_minute_and_is_named(start, victim, whole):
    hosts = start(DEAF, DEAF)
    programs = [int(host.line()) for host in hosts]
    begun = time.monotonic()
    os.kill(hosts[victim].launcher.pid if whole else programs[victim], signal.SIGKILL)
    code, _ = hosts[1 - victim].end()

    assert time.monotonic() - begun < 20
    assert code == 1
    assert f"Host '{NAMES[victim]}' is gone: " in hosts[1 - victim].failure.read_text()
    if not whole:
        assert hosts[victim].end()[0] == 137
        assert f"On host '{NAMES[victim]}': The program was killed by SIGKILL" in hosts[victim].failure.read_text()


def test_host_that_stops_already_may_finish_though_the_other_is_gone(start):
    hosts = start(SAVING, DEAF)
    for host in hosts:
        host.line()
    hosts[0].launcher.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    hosts[1].launcher.kill()

    assert hosts[0].end() == (0, "saved\n")
