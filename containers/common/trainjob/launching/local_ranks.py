"""Several ranks on one host, as torchrun starts them: one process for each GPU, and all end when one has failed.

    python -m trainjob.launching.local_ranks COUNT all|own COMMAND...

`all` is all GPUs for every rank, as under torchrun, `own` one for each.

A program between the launcher and them, so that for the launcher there is one child as ever, with one exit code.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from trainjob import cores, environment, failure, hosts
from trainjob.contract import EXIT_FAILURE, EXIT_SUCCESS, INSTANCE_GROUPS, THREADS, exit_code
from trainjob.environment import JobEnvironment
from trainjob.errors import EntryPointError
from trainjob.hyperparameters import MOST_PROCESSES, PROCESSES, plain
from trainjob.launching import child
from trainjob.launching.fan_out import FanOut
from trainjob.launching.script_mode import Command
from trainjob.launching.whole_lines import WholeLines

Devices = Literal["all", "own"]
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_SECONDS = 1.0


def count(env: JobEnvironment, environ: Mapping[str, str], count_gpus: Callable[[], int]) -> int:
    """Ranks for a built-in program on each host: as many as its hyperparameter says, else one for each GPU.

    One on each where hosts differ, as all must know of all. What is no number the program itself refuses.

    Raises:
        EntryPointError: Far too many are asked for, or more than there are GPUs.
    """
    text = plain(env.hyperparameters.get(PROCESSES, "0"))
    asked = int(text) if text.isdecimal() else 0
    if asked > MOST_PROCESSES:
        raise EntryPointError(f"'{PROCESSES}' is {asked}; it must be 0 to {MOST_PROCESSES}, 0 being one to each GPU.")
    if asked == 1:
        return 1
    gpus = len(_visible(environ)) if _VISIBLE in environ else count_gpus()
    if asked > gpus > 0:
        raise EntryPointError(f"'{PROCESSES}' is {asked}, but this host has {gpus} GPUs; set it to {gpus} at the most.")
    groups = env.resource_config.get(INSTANCE_GROUPS)
    types = {str(group.get("instance_type")) for group in groups} if isinstance(groups, list) else set()
    return asked or (max(1, gpus) if len(types) <= 1 else 1)


def _visible(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that a variable of CUDA's names."""
    return [name for name in environ.get(_VISIBLE, "").split(",") if name and name != "-1"]


def several(command: Command, ranks: int, devices: Devices) -> Command:
    """The command that starts so many ranks of another; that itself for one."""
    if ranks == 1:
        return command
    return replace(
        command, argv=(sys.executable, "-m", "trainjob.launching.local_ranks", str(ranks), devices, *command.argv)
    )


def told(env: JobEnvironment, environ: Mapping[str, str], devices: Devices) -> dict[str, str]:
    """What a rank finds in its environment."""
    place = hosts.place(env)
    mine = {name: place[name] for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TF_CONFIG")}
    mine |= {environment.LOCAL_RANK: f"{env.local_rank}/{env.local_ranks}", environment.FIFOS: str(env.paths.fifos)}
    if devices == "own":
        names = _visible(environ)
        mine[_VISIBLE] = names[env.local_rank] if env.local_rank < len(names) else str(env.local_rank)
    return {**environ, "OMP_NUM_THREADS": _threads(environ, env.local_ranks), **mine}


def _threads(environ: Mapping[str, str], ranks: int) -> str:
    """For each of a host's ranks, unless the job itself says how many."""
    given, shared = environ.get("OMP_NUM_THREADS"), environ.get(THREADS)
    if given and given != shared:
        return given
    return str(max(1, int(shared or len(cores.usable())) // ranks))


def run(ranks: int, devices: Devices, argv: Sequence[str]) -> int:
    """Start the ranks and wait for all; the exit code is that of the first that failed.

    SIGTERM and SIGINT go on to all of them. A rank that fails takes the others along, which may wait for it in a
    collective for ever; not so once they stop, for one may be saving.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*child.STOPS, signal.SIGCHLD})
    env, all_cores = environment.read(), cores.usable()
    with FanOut(env, ranks) as fifos:
        processes = []
        for index, folder in enumerate(fifos.folders):
            paths = replace(env.paths, fifos=folder)
            seen = replace(env, paths=paths, local_rank=index, local_ranks=ranks)
            environ = told(seen, os.environ, devices)
            with cores.bound(cores.part(all_cores, index, ranks) if devices == "own" else all_cores):
                processes.append(child.start(argv, environ, None, stdout=subprocess.PIPE, mask=before))
        fifos.start()
        outputs = WholeLines(1), WholeLines(2)
        for process in processes:
            outputs[0].follow(process.stdout)
            outputs[1].follow(process.stderr)
        code = _watch(processes, fifos)
        for output in outputs:
            output.drain()
    return code


def _watch(processes: Sequence[subprocess.Popen[bytes]], fifos: FanOut) -> int:
    code, stopping = EXIT_SUCCESS, False
    while any(process.poll() is None for process in processes):
        caught = signal.sigtimedwait({*child.STOPS, signal.SIGCHLD}, _LOOK_SECONDS)
        if caught and caught.si_signo in child.STOPS:
            stopping = True
            _send(processes, caught.si_signo)
        if fifos.error and not code:
            failure.report(fifos.error, environment.paths(os.environ).failure)
            code = EXIT_FAILURE
        code = code or _failed(processes)
        if code and not stopping:
            _send(processes, signal.SIGKILL)
    return code or _failed(processes)


def _failed(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    codes = [code for process in processes if (code := process.poll())]
    return exit_code(codes[0]) if codes else EXIT_SUCCESS


def _send(processes: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), "own" if sys.argv[2] == "own" else "all", sys.argv[3:]))
