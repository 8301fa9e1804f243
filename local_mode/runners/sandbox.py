"""Starts bubblewrap, again where a mount of this machine went while it made its view of them."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from local_mode.errors import RunnerError
from local_mode.runners.bubblewrap import TRIES

_START_SECONDS = 10
_SAID_BYTES = 1 << 16
_ANNOUNCING = ["sh", "-c", 'echo >&0; exec "$@" </dev/null', "sh"]
"""Says on its standard input, a pipe of ours, that the sandbox stands, then becomes the program."""


class Sandbox:
    """A sandbox that stands, with the program in it as PID 1."""

    def __init__(self, process: subprocess.Popen[bytes], first: int | None) -> None:
        """`first` is a handle of the sandbox's PID 1, None when it has ended already."""
        self.process = process
        self._first = first

    def first(self) -> tuple[int, int]:
        """The number of its PID 1, seen from here, and a handle of it.

        Raises:
            RunnerError: it has ended.
        """
        if self._first is not None:
            _, _, told = Path(f"/proc/self/fdinfo/{self._first}").read_text().partition("\nPid:")
            if int(told.split()[0]) > 0:
                return int(told.split()[0]), self._first
        raise RunnerError("The sandbox ended before a job was in it.")

    def send(self, number: signal.Signals) -> bool:
        """Signal PID 1; whether there ever was one to signal."""
        if self._first is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, number)
        return True

    def close(self) -> None:
        """End it, at once if it runs."""
        if self.process.poll() is None:
            self.process.kill()  # --die-with-parent does the rest
        self.process.wait()
        cast(IO[bytes], self.process.stdout).close()
        if self._first is not None:
            os.close(self._first)
            self._first = None


def start(options: Callable[[int], Iterable[str]], program: Iterable[str], environment: Mapping[str, str]) -> Sandbox:
    """Start `program` with bubblewrap's `options`, a command that writes its info to the descriptor it is given.

    Raises:
        RunnerError: the sandbox could not be made, in several tries; what bubblewrap said.
    """
    said = ""
    for _ in range(TRIES):
        sandbox, stands = _try(options, program, environment)
        if stands:
            return sandbox
        said = cast(IO[bytes], sandbox.process.stdout).read(_SAID_BYTES).decode(errors="replace").strip()
        sandbox.close()
    raise RunnerError(f"bubblewrap makes no sandbox: {said or 'no message'}; use --runtime docker.")


def _try(
    options: Callable[[int], Iterable[str]], program: Iterable[str], environment: Mapping[str, str]
) -> tuple[Sandbox, bool]:
    """A sandbox, and whether it stands."""
    info_read, info_write = os.pipe()
    ready_read, ready_write = os.pipe()
    with os.fdopen(info_read, "rb", buffering=0) as info, os.fdopen(ready_read, "rb", buffering=0) as ready:
        try:
            process = subprocess.Popen(
                [*options(info_write), *_ANNOUNCING, *program],
                stdin=ready_write,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd="/",
                pass_fds=(info_write,),
                start_new_session=True,  # Ctrl-C in a terminal is for local_mode, which then stops the job in order
            )
        finally:
            os.close(info_write)
            os.close(ready_write)
        deadline = time.monotonic() + _START_SECONDS
        sandbox = Sandbox(process, _first_process(info, deadline))
        answers = bool(_readable(ready, deadline))
        if not answers:
            process.kill()  # its output then ends, and says why it hung if anything does
        return sandbox, answers and bool(ready.read(1))


def _first_process(info: IO[bytes], deadline: float) -> int | None:
    """A handle of the sandbox's PID 1, from what bubblewrap writes once it exists."""
    text = b""
    while _readable(info, deadline) and (chunk := info.read(4096)):
        text += chunk
    try:
        return os.pidfd_open(json.loads(text)["child-pid"])
    except (ValueError, KeyError, OSError):
        return None  # it failed or ended at once; its exit code and output say how


def _readable(stream: IO[bytes], deadline: float) -> list[IO[bytes]]:
    return select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]
