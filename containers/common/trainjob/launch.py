"""The first process of a container: starts the program, hands signals on to it, ends with its exit code.

sagemaker-training's `train` calls `main` through SAGEMAKER_TRAINING_MODULE; elsewhere `python -m trainjob.launch`.
"""

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from trainjob import environment, failure, hosts
from trainjob.contract import EXIT_FAILURE, EXIT_SUCCESS, HP_TORCH_DISTRIBUTED, SIGNAL_BASE, exit_code
from trainjob.environment import JobEnvironment
from trainjob.errors import EntryPointError
from trainjob.hyperparameters import DATASET, plain
from trainjob.launching import child, forked, local_ranks, script_mode
from trainjob.launching.peers import Peers
from trainjob.launching.relay import Relay
from trainjob.launching.script_mode import Command
from trainjob.launching.sm_variables import NUM_GPUS, count_gpus
from trainjob.launching.stderr_tee import StderrTee
from trainjob.stop import StopRequested

PROGRAMS = "TRAINJOB_PROGRAMS"
"""Environment variable: the package that holds the built-in programs, modules called `train_<dataset>`."""
_DEFAULT_DATASET, _PREFIX = "cifar10", "train_"
SHORT_WAITS = {"GOMP_SPINCOUNT": "3000"}
"""How often a waiting OpenMP thread looks before it sleeps; the job's own setting wins. GNU's default of 300,000
starves the others as soon as anything else runs on their cores: 50 s instead of 6 s for an epoch of a small network
on 2 busy ones. Never to spin costs a third of the speed on idle ones."""


def main() -> NoReturn:
    """Run the job's program and exit with its code.

    By os._exit: the toolkit's `train` turns every exit code a hook raises into 0.
    """
    program: forked.Program | None = None
    try:
        code = _attempt(Relay())
    except forked.Program as here:
        program = here
    if program:  # this process is no launcher any more, and what it ends with is no exception's context
        program.run()
        sys.exit()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def choose(env: JobEnvironment, environ: Mapping[str, str]) -> Command:
    """How to run what the job asks for: its own script if it names one, else the image's program for its data set.

    Raises:
        EntryPointError: There is no such script or program; says which there are.
    """
    script = script_mode.program(env, environ)
    if script:
        return script_mode.prepare(env, script, environ)
    name = package(environ)
    dataset = plain(env.hyperparameters.get(DATASET, _DEFAULT_DATASET))
    known = datasets(name)
    if dataset not in known:
        raise EntryPointError(
            f"There is no program for the data set '{dataset}' in {name}; "
            f"set the hyperparameter '{DATASET}' to one of: {', '.join(known) or 'none'}."
        )
    return Command(argv=(sys.executable, "-m", module(name, dataset)), environ=environ)


def package(environ: Mapping[str, str]) -> str:
    """The package of the image's own programs.

    Raises:
        EntryPointError: Nothing names one.
    """
    name = environ.get(PROGRAMS)
    if not name:
        raise EntryPointError(
            f"The job names no script and {PROGRAMS} is not set; set it to the package that holds the programs "
            "(such as pytorch_job), or name a script by the hyperparameter sagemaker_program."
        )
    return name


def module(package: str, dataset: str) -> str:
    """The program for a data set."""
    return f"{package}.{_PREFIX}{dataset}"


def datasets(package: str) -> list[str]:
    """Those that a package has programs for.

    Raises:
        EntryPointError: There is no such package.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.submodule_search_locations is None:
        raise EntryPointError(f"{PROGRAMS} is '{package}', which is no package here; install it or correct the name.")
    names = [found.name for found in pkgutil.iter_modules(spec.submodule_search_locations)]
    return sorted(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))


def _attempt(relay: Relay) -> int:
    peers: Peers | None = None
    code = EXIT_FAILURE
    try:
        env = environment.read()
        with relay.interruptible():
            command = choose(env, os.environ)
            own = not script_mode.program(env, os.environ)
            ranks = _ranks(env, command, own=own)
            if ranks and len(env.hosts) > 1:
                peers = Peers(env, relay.abandon)
                peers.meet()
            if ranks:
                told = hosts.variables(replace(env, local_ranks=ranks))
                command = replace(command, environ={**told, **command.environ})
                command = local_ranks.several(command, ranks, "own" if own else "all")
        code = _run(command, relay, env)
    except StopRequested:
        print("stopped before the program was started", file=sys.stderr)
        code = SIGNAL_BASE + relay.early[0]
    except Exception as error:  # noqa: BLE001 - the outermost frame: whatever went wrong becomes an exit code here
        failure.report(error, environment.paths(os.environ).failure)
    if peers:
        peers.leave(code)
    return code


def _ranks(env: JobEnvironment, command: Command, *, own: bool) -> int:
    """Processes of this host that are to find one another and those of other hosts; 0 for one that is alone.

    Of a script they are wanted where the SDK says so.
    """
    if own:
        ranks = local_ranks.count(env, command.environ, count_gpus)
        return ranks if ranks * len(env.hosts) > 1 else 0
    asked = plain(env.hyperparameters.get(HP_TORCH_DISTRIBUTED, "")).lower() == "true"
    return max(1, int(command.environ.get(NUM_GPUS, "0"))) if asked else 0


def _run(command: Command, relay: Relay, env: JobEnvironment) -> int:
    # What was installed for a script may be another version of what is imported here.
    can_fork = forked.fits(command.argv) and not command.installs and len(env.hosts) == 1
    start = forked.start if can_fork else child.start
    try:
        program = start(command.argv, {**SHORT_WAITS, **command.environ}, command.folder)
    except (OSError, ValueError) as error:
        raise EntryPointError(f"'{command.argv[0]}' cannot be started: {error}; check that it is installed.") from error
    relay.watch(program)
    with StderrTee(program.stderr) as tee:
        returned = relay.wait(program)
    code = exit_code(returned)
    if code != EXIT_SUCCESS and relay.lost:
        print(f"error: {relay.lost}", file=sys.stderr)
        failure.leave(relay.lost, env.paths.failure)
        return EXIT_FAILURE
    if code != EXIT_SUCCESS:
        words = "The program did not stop in time after SIGTERM and was killed." if relay.killed else None
        where = f"On host '{env.current_host}': " if len(env.hosts) > 1 else ""
        failure.leave(failure.describe_log(tee.tail, code, words=words, where=where), env.paths.failure)
    return code


if __name__ == "__main__":
    main()
