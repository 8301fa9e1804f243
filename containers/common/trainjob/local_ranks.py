"""Several ranks on one host, as torchrun starts them: one process for each GPU, and all end when one has failed.

    python -m trainjob.local_ranks COUNT COMMAND...        # RANK in the environment is that of the first

A program between the launcher and them, so that for the launcher there is one child as ever, with one exit code.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainjob import child
from trainjob.contract import EXIT_SUCCESS, exit_code
from trainjob.script_mode import Command
from trainjob.whole_lines import WholeLines

_LOOK_SECONDS = 1.0


def several(command: Command, count: int) -> Command:
    """The command that starts `count` ranks of another; that itself for one, or none."""
    if count <= 1:
        return command
    return replace(command, argv=(sys.executable, "-m", "trainjob.local_ranks", str(count), *command.argv))


def environment(environ: Mapping[str, str], index: int, count: int) -> dict[str, str]:
    """What the rank with this index on its host is told."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = {
        "RANK": str(int(environ["RANK"]) + index),
        "LOCAL_RANK": str(index),
        "LOCAL_WORLD_SIZE": str(count),
    }
    return {"OMP_NUM_THREADS": str(max(1, cores // count)), **environ, **told}


def run(count: int, argv: Sequence[str]) -> int:
    """Start the ranks and wait for all; the exit code is that of the first that failed.

    SIGTERM and SIGINT go on to all of them. A rank that fails takes the others along, which may wait for it in a
    collective for ever; not so once they stop, for one may be saving.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*child.STOPS, signal.SIGCHLD})
    ranks = [
        child.start(argv, environment(os.environ, index, count), None, stdout=subprocess.PIPE, mask=before)
        for index in range(count)
    ]
    outputs = WholeLines(1), WholeLines(2)
    for rank in ranks:
        outputs[0].follow(rank.stdout)
        outputs[1].follow(rank.stderr)
    code, stopping = EXIT_SUCCESS, False
    while any(rank.poll() is None for rank in ranks):
        caught = signal.sigtimedwait({*child.STOPS, signal.SIGCHLD}, _LOOK_SECONDS)
        if caught and caught.si_signo in child.STOPS:
            stopping = True
            _send(ranks, caught.si_signo)
        code = code or _failed(ranks)
        if code and not stopping:
            _send(ranks, signal.SIGKILL)
    for output in outputs:
        output.drain()
    return code or _failed(ranks)


def _failed(ranks: Sequence[subprocess.Popen[bytes]]) -> int:
    codes = [code for rank in ranks if (code := rank.poll())]
    return exit_code(codes[0]) if codes else EXIT_SUCCESS


def _send(ranks: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for rank in ranks:
        if rank.poll() is None:
            rank.send_signal(number)


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
