"""A small job of several hosts, each a process of this machine with a loopback address of its own."""

import dataclasses
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from trainjob import hosts
from trainjob.contract import SHARDED
from trainjob.environment import JobEnvironment

from tests.small_job import Job

ROOT = Path(__file__).parents[1]
SECONDS = 400  # of a very busy machine; idle it takes 20


def environment(job: Job, name: str, rank: int, count: int, *, sharded: bool = False) -> JobEnvironment:
    """The job as one of its hosts sees it, which is told where the others are."""
    env, names = job.environment(), tuple(f"127.0.0.{2 + rank}" for rank in range(count))
    kind = {"distribution": SHARDED} if sharded else {}
    channels = {name: dataclasses.replace(each, **kind) for name, each in env.channels.items()}
    told = {"hosts": names, "current_host": names[rank], "network_interface": "lo"}
    name = f"{job.paths.base.parents[1]}-{name}"  # the same on all hosts, and no other run's: it decides the ports
    env = dataclasses.replace(env, channels=channels, job_name=name, **told)
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
