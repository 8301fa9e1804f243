"""Holds a network namespace for the sandboxes of one job: they reach each other in it, and nothing else."""

import select
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

from local_mode.errors import RunnerError
from local_mode.runners.bubblewrap import TRIES

_START_SECONDS = 10
_HOLD = "echo $$; exec sleep infinity"
"""Says its process id once loopback is up: bubblewrap has done its work when it runs a program."""


class Namespace:
    """A namespace of its own with loopback alone; there as long as its holder lives, which dies with our thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Make it.

        Raises:
            RunnerError: it cannot be made.
        """
        said = b""
        for _ in range(TRIES):
            self._holder = _hold(environment)
            output = cast(IO[bytes], self._holder.stdout)
            said = output.readline() if select.select([output], [], [], _START_SECONDS)[0] else b"nothing"
            if said.strip().isdigit():
                self.pid = int(said)
                """A process that is in it."""
                return
            self.close()
        text = said.decode(errors="replace").strip()
        raise RunnerError(f"bubblewrap makes no network for several hosts: {text}; use --runtime docker.")

    def close(self) -> None:
        """Let it go."""
        self._holder.kill()
        self._holder.wait()
        cast(IO[bytes], self._holder.stdout).close()


def _hold(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["bwrap", "--unshare-net", "--die-with-parent", "--dev-bind", "/", "/", "sh", "-c", _HOLD],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,  # Ctrl-C in a terminal is for local_mode, which then ends the job in order
    )


def why_not() -> str:
    """Why nothing can enter a namespace here; empty when it can."""
    return "" if shutil.which("nsenter") else "nsenter (of util-linux) is not installed"


def entering(pid: int) -> list[str]:
    """What to put before a command so that it runs in the namespace of process `pid`."""
    # Of a user other than root it belongs to a user namespace, and who is in that may enter. Root made none, and
    # nobody may enter the user namespace he is in.
    user = Path("/proc/self/ns/user").readlink() != Path(f"/proc/{pid}/ns/user").readlink()
    return ["nsenter", "--target", str(pid), *(["--user", "--preserve-credentials"] if user else []), "--net", "--"]
