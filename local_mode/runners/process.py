"""Runs a training container's program as a process of this machine: under bubblewrap where that works, else plain."""

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from trainjob import contract

from local_mode.errors import RunnerError
from local_mode.instance.cleaning import remove_tree
from local_mode.runners import bubblewrap, leftovers, namespace, sandbox, tether
from local_mode.runners.forked import ForkedInSandbox, ForkedPlain
from local_mode.runners.forks import ForkServers, Order, Reserved, Wanted
from local_mode.runners.overlay import Overlay, make_overlay
from local_mode.runners.protocol import SCRATCH, Instance, Launch, Network, mark
from local_mode.runners.stand_in import StandIn, find

_INSIDE = bubblewrap.INSIDE / "venv"
_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")
_LINE_BYTES = 1 << 20
"""A line longer than this is handed on in parts: a program must not be able to fill our memory."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""What an installer needs of the caller's environment to reach a package index; PIP_* too, nothing else."""


class ProcessRunner:
    """Runs jobs without an engine. Not a security boundary: the program can read what the user can."""

    name = "process"

    def __init__(
        self, *, stand_ins: Mapping[str, StandIn], caller: Mapping[str, str], why_plain: str, why_no_docker: str = "",
        forks: ForkServers | None = None,
    ) -> None:  # fmt: skip
        """`caller` is the environment of the caller; `why_plain` says why bubblewrap is not used, empty when it is.

        `why_no_docker` says why Docker, which was tried first, is not used; empty when nobody tried. `forks` has
        processes that jobs may be forked from.
        """
        self._stand_ins = stand_ins
        self._caller = caller
        self._why_plain = why_plain
        self._why_no_docker = why_no_docker
        self._forks = forks

    @property
    def protects_channels(self) -> bool:
        """Only the sandbox does."""
        return not self._why_plain

    @property
    def limits(self) -> str:
        """What a plain process lacks."""
        if not self._why_plain:
            return ""
        return (
            f"not enforced, because {self._why_plain}: {contract.BASE_DIR} stands in for {contract.Paths().base}, "
            "channels are copies instead of read-only, the program is not PID 1 and shares the network, "
            "algo-1 does not resolve"
        )

    def check(
        self, *, image: str, network_isolation: bool, pipes: bool, hosts: int, interface: str = "",
        checkpoint_path: Path | None = None,
    ) -> None:  # fmt: skip
        """Refuse an image with no stand-in, what no process has, and what needs bubblewrap where it is not used."""
        find(self._stand_ins, image, why_no_docker=self._why_no_docker)
        if interface:
            raise RunnerError(
                f"The choice nic is {interface!r}, but a process has this machine's own interface, lo; use "
                "--runtime docker, or leave it."
            )
        if network_isolation and self._why_plain:
            raise RunnerError(
                f"EnableNetworkIsolation is true, but {self._why_plain}, so a process cannot be isolated; "
                "install bubblewrap, use --runtime docker, or set it to false."
            )
        base = contract.Paths().base
        if self._why_plain and checkpoint_path is not None and not checkpoint_path.is_relative_to(base):
            raise RunnerError(
                f"CheckpointConfig.LocalPath is {str(checkpoint_path)!r}, but {self._why_plain}, so a process cannot "
                f"find a folder of its own there; give a path below {base}, install bubblewrap, or use --runtime "
                "docker."
            )
        if hosts > 1 and self._why_plain:
            raise RunnerError(
                f"The job has {hosts} hosts, but {self._why_plain}, so their names would not resolve; "
                "install bubblewrap, use --runtime docker, or ask for one host."
            )
        if hosts > 1 and network_isolation and (reason := namespace.why_not()):
            raise RunnerError(
                f"EnableNetworkIsolation is true and the job has {hosts} hosts, but {reason}, so they cannot reach "
                "each other; install it, use --runtime docker, or ask for one host."
            )

    def network_interface(self, *, isolated: bool, hosts: int) -> str:
        """Loopback."""
        return "lo"  # whatever else the machine has is not the job's

    def connect(self, job_folder: Path, hosts: tuple[str, ...], *, isolated: bool, interface: str = "") -> Network:
        """Loopback has an address for every host; in a namespace of the job's own where it is isolated."""
        if len(hosts) == 1 or not isolated:
            return Network(hosts=hosts, gateway="127.0.0.1")
        held = namespace.Namespace(self._marked(job_folder))
        return Network(hosts=hosts, key=str(held.pid), close=held.close)

    def start(self, launch: Launch) -> Instance:
        """Start the stand-in's program, as a fork of a process that has its framework where the launch allows that."""
        stand_in = find(self._stand_ins, launch.image)
        for folder in (launch.scratch / "tmp", launch.scratch / "home"):
            folder.mkdir()
        if self._why_plain:
            leftovers.temporary_folder(launch.job_folder).mkdir(mode=0o700)
        venv = launch.scratch / "venv"
        if self._forks and (wanted := self._wanted(launch, stand_in)) and (held := self._forks.reserve(wanted, venv)):
            with contextlib.closing(held):
                try:
                    fork = self._fork_plain if self._why_plain else self._fork_sandboxed
                    return fork(held, wanted, launch)
                except RunnerError as error:
                    self._forks.note(f"{error} The job starts without it.")
            remove_tree(venv)  # a server that ended meanwhile may have removed a part of it
        start = self._start_plain if self._why_plain else self._start_sandboxed
        return start(launch, stand_in, make_overlay(stand_in, venv))

    def _start_sandboxed(self, launch: Launch, stand_in: StandIn, overlay: Overlay) -> Instance:
        # The sandbox's own process carries the job's mark; `env -i` gives the program its own environment instead.
        environment = self._sandboxed_environment(launch, stand_in, overlay)
        program = ["env", "-i", *(f"{key}={value}" for key, value in environment.items())]
        program += _argv(launch, stand_in, _INSIDE / "bin" / "python")
        return _Sandboxed(self._sandbox(launch, overlay, program))

    def _start_plain(self, launch: Launch, stand_in: StandIn, overlay: Overlay) -> Instance:
        # The tether runs in our own Python, then becomes the program: a process id, a parent, no shell.
        command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        command += _argv(launch, stand_in, overlay.python)
        environment = self._plain_environment(launch, stand_in, overlay)
        return _Plain(_popen(command, environment), launch.job_folder, _base_entry(launch.opt_ml))

    def _wanted(self, launch: Launch, stand_in: StandIn) -> Wanted | None:
        """What the job can be forked from; None where it has to be started by itself."""
        is_own_program = launch.command == (contract.TRAIN_ARGUMENT,) and stand_in.train[:1] == ("-m",)
        if launch.template is None or not stand_in.preload or not is_own_program:
            return None
        if len(launch.network.hosts) > 1 or bubblewrap.gpu_devices():
            return None  # several hosts wait for one another in threads, and a GPU's state is lost in a fork
        base = {"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8"}
        return Wanted(stand_in=stand_in, environment={**base, **stand_in.environment, **launch.template})

    def _fork_sandboxed(self, held: Reserved, wanted: Wanted, launch: Launch) -> Instance:
        made = self._sandbox(launch, held.overlay, ["sleep", "infinity"])
        try:
            number, handle = made.first()
            environment = self._sandboxed_environment(launch, wanted.stand_in, held.overlay)
            fork = held.fork(_order(launch, wanted, environment, _INSIDE, first=number, handle=handle))
        except BaseException:
            made.close()
            raise
        return ForkedInSandbox(fork, made)

    def _fork_plain(self, held: Reserved, wanted: Wanted, launch: Launch) -> Instance:
        environment = self._plain_environment(launch, wanted.stand_in, held.overlay)
        fork = held.fork(_order(launch, wanted, environment, held.overlay.folder))
        base = _base_entry(launch.opt_ml)

        def end_others() -> None:
            leftovers.kill_processes(base)

        return ForkedPlain(fork, end_others, lambda: _remove_temporary(launch.job_folder))

    def _sandbox(self, launch: Launch, overlay: Overlay, program: Sequence[str]) -> sandbox.Sandbox:
        hosts = Path("/etc/hosts").read_text(encoding="utf-8") if Path("/etc/hosts").is_file() else ""
        (launch.scratch / "hosts").write_text(f"{hosts}\n{_addresses(launch.network.hosts)}", encoding="utf-8")
        entering = namespace.entering(int(launch.network.key)) if launch.network.key else []

        def options(info_fd: int) -> list[str]:
            return [*entering, *bubblewrap.options(launch, overlay, info_fd=info_fd)]

        return sandbox.start(options, program, self._marked(launch.job_folder))

    def _sandboxed_environment(self, launch: Launch, stand_in: StandIn, overlay: Overlay) -> dict[str, str]:
        bins = (_INSIDE / "bin", overlay.parent_bin)
        return self._environment(launch, stand_in, bins, home=bubblewrap.INSIDE / "home")

    def _plain_environment(self, launch: Launch, stand_in: StandIn, overlay: Overlay) -> dict[str, str]:
        return {
            **self._environment(launch, stand_in, (overlay.bin, overlay.parent_bin), home=launch.scratch / "home"),
            "TMPDIR": str(leftovers.temporary_folder(launch.job_folder)),
            contract.BASE_DIR: str(launch.opt_ml),
        }

    def _marked(self, job_folder: Path) -> dict[str, str]:
        """The environment of bubblewrap itself."""
        return {"PATH": self._caller.get("PATH", _SYSTEM_PATH), **mark(job_folder)}

    def _environment(self, launch: Launch, stand_in: StandIn, bins: tuple[Path, ...], *, home: Path) -> dict[str, str]:
        """Highest precedence last: what any container has, the caller's proxies, the image's own, the job's."""
        passed = {
            key: value
            for key, value in self._caller.items()
            if key.upper() in _PASSED_ON or key.startswith("PIP_")
        }  # fmt: skip
        base = {"PATH": ":".join([*map(str, bins), _SYSTEM_PATH]), "HOME": str(home), "LANG": "C.UTF-8"}
        return {**base, **passed, **stand_in.environment, **launch.environment}


class _Process:
    """What both ways have in common: a child of ours whose output is ours to read."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def log_lines(self) -> Iterator[bytes]:
        """Lines as they come."""
        output = cast(IO[bytes], self._process.stdout)
        yield from iter(lambda: output.readline(_LINE_BYTES), b"")

    def wait(self, timeout: float) -> int | None:
        """The exit code, as a shell counts it."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return contract.exit_code(code)

    def collect(self) -> None:
        """Nothing to bring: the program wrote to Launch.opt_ml itself."""

    def open_up(self) -> None:
        """Nothing to do: the program was this user."""


class _Sandboxed(_Process):
    """A program that is PID 1 of a sandbox."""

    def __init__(self, made: sandbox.Sandbox) -> None:
        super().__init__(made.process)
        self._sandbox = made

    def terminate(self) -> None:
        self._sandbox.send(signal.SIGTERM)

    def kill(self) -> None:
        # Of PID 1, so that bubblewrap still reports how it ended; the kernel ends all others of the sandbox with it.
        if not self._sandbox.send(signal.SIGKILL):
            self._process.kill()

    def close(self) -> None:
        self._sandbox.close()


class _Plain(_Process):
    """A program in a session of its own; its whole group ends with it."""

    def __init__(self, process: subprocess.Popen[bytes], job_folder: Path, base: str) -> None:
        super().__init__(process)
        self._job_folder = job_folder
        self._base = base
        self._ended = False

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._kill_group()

    def wait(self, timeout: float) -> int | None:
        code = super().wait(timeout)
        if code is not None:
            self._end_all()  # as a container's other processes end with its first
        return code

    def close(self) -> None:
        self._kill_group()
        self._process.wait()
        self._end_all()
        _remove_temporary(self._job_folder)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _end_all(self) -> None:
        """Once PID 1 is gone: its group, and those that left the group but carry the job's environment."""
        if not self._ended:
            self._ended = True
            self._kill_group()
            leftovers.kill_processes(self._base)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def remove_leftovers(job_folder: Path) -> None:
    """Kill the processes of a job whose owner is gone, and remove its folder in /tmp."""
    marks = (f"{key}={value}" for key, value in mark(job_folder).items())
    bases = (_base_entry(place) for place in sorted((job_folder / SCRATCH).glob("*/opt_ml")))
    leftovers.kill_processes(*marks, *bases)
    _remove_temporary(job_folder)


def _remove_temporary(job_folder: Path) -> None:
    temporary = leftovers.temporary_folder(job_folder)
    if temporary.is_dir() and not temporary.is_symlink() and temporary.stat().st_uid == os.getuid():
        remove_tree(temporary)


def _addresses(hosts: tuple[str, ...]) -> str:
    """Lines of a hosts file. One host is loopback itself; of several each has an address of its own, from 127.0.0.2."""
    if len(hosts) == 1:
        return f"127.0.0.1 {hosts[0]}\n"
    return "".join(f"{_LOOPBACK + number} {host}\n" for number, host in enumerate(hosts, 1))


def _base_entry(opt_ml: Path) -> str:
    """The environment entry that every process of a plain job inherits."""
    return f"{contract.BASE_DIR}={opt_ml}"


def _order(
    launch: Launch, wanted: Wanted, environment: Mapping[str, str], prefix: Path, *, first: int = 0,
    handle: int | None = None,
) -> Order:  # fmt: skip
    return Order(
        module=wanted.stand_in.train[1],
        arguments=wanted.stand_in.train[2:],
        environment=environment,
        prefix=prefix,
        mark=_base_entry(launch.opt_ml),
        first=first,
        handle=handle,
    )


def _argv(launch: Launch, stand_in: StandIn, python: Path) -> list[str]:
    command = launch.command
    if command[:1] == (contract.TRAIN_ARGUMENT,):
        return [str(python), *stand_in.train, *command[1:]]
    return list(command)


def _popen(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd="/",
        start_new_session=True,  # Ctrl-C in a terminal is for local_mode, which then stops the job in order
    )
