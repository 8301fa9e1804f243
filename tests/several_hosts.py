"""A small job of several hosts, each a process of this machine with a loopback address of its own."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from trainjob import hosts
from trainjob.contract import SHARDED
from trainjob.environment import JobEnvironment
from trainjob.stop import Stop

from tests.small_job import Job
from tests.stops import listening, terminate

ROOT = Path(__file__).parents[1]
_ports: set[int] = set()
"""That jobs of this process have had; the same on all hosts, which have the same jobs in the same order."""
SECONDS = 900  # of a very busy machine, which has taken 377


def environment(job: Job, name: str, rank: int, count: int, *, sharded: bool = False) -> JobEnvironment:
    """The job as one of its hosts sees it, which is told where the others are."""
    env, names = job.environment(), tuple(f"127.0.0.{2 + rank}" for rank in range(count))
    kind = {"distribution": SHARDED} if sharded else {}
    channels = {name: dataclasses.replace(each, **kind) for name, each in env.channels.items()}
    told = {"hosts": names, "current_host": names[rank], "network_interface": "lo"}
    name = f"{job.paths.base.parents[1]}-{name}"  # the same on all hosts, and no other run's: it decides the ports
    env = dataclasses.replace(env, channels=channels, job_name=name, **told)
    while hosts.port(env) in _ports:  # of a group of this process, which keeps its own to the end
        env = dataclasses.replace(env, job_name=f"{env.job_name}+")
    _ports.add(hosts.port(env))
    os.environ.update(hosts.variables(env, ["lo"]))
    return env


def run(module: str, folder: Path, count: int) -> list[dict]:
    """Run `python -m module FOLDER RANK COUNT` on every host; what each wrote to `FOLDER/RANK.json`."""
    with ExitStack() as left:
        processes = []
        for rank in range(count):
            command = [sys.executable, "-m", module, str(folder), str(rank), str(count)]
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            processes.append(left.enter_context(process))
            left.callback(process.kill)
        for process in processes:
            out, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, out.decode()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


@contextmanager
def told_to_stop(note: Path, *, is_first: bool) -> Iterator[tuple[Stop, Callable[[], None]]]:
    """SIGTERM comes once the first host has called what it is given, and has been for a while in what it does then.

    That host leaves `note` for the others. The stop is one that listens as a program's does.
    """
    entered = threading.Event()

    def tell() -> None:
        if is_first:
            entered.wait(SECONDS)
            time.sleep(1)
            note.touch()
        deadline = time.monotonic() + SECONDS
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        terminate()

    with listening() as stop:
        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        yield stop, entered.set
        teller.join(SECONDS)  # its signal is this block's


def with_one_late(
    add: Callable[[Any], Any], first: Path, number: int, *, is_first: bool, is_last: bool
) -> Callable[[Any], Any]:
    """A host's `add`: that call of the last host's comes late, and the first gets a SIGTERM while it waits for it.

    That one leaves the number of its process in the file `first`.
    """
    sums = itertools.count()
    if is_first:
        first.write_text(str(os.getpid()))

    def late(values: Any) -> Any:
        if next(sums) == number:
            time.sleep(1)  # by now the others are in this sum
            os.kill(int(first.read_text()), signal.SIGTERM)
            time.sleep(1)
        return add(values)

    return late if is_last else add
