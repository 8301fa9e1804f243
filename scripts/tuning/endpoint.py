"""The local endpoint for the time of a sweep: one that runs already, or one that ends with this process."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_mode.endpoint import Files, end, find, launch
from local_mode.errors import LocalModeError
from local_mode.shell import UNSET, variables
from scripts.environments.environment import say

_END_SECONDS = 180
"""What jobs have to end by themselves is 120 s, as on AWS; then they are packed."""


@contextlib.contextmanager
def led(state: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Leads this process to the endpoint of a folder; where none runs, to one started with `arguments` meanwhile.

    Raises:
        LocalModeError: None can be started.
    """
    files, process, before = Files(root=state.resolve()), None, dict(os.environ)
    try:
        try:
            endpoint = find(files)
            say(f"the endpoint at {endpoint.url}, which runs already; its jobs run as it was told")
        except LocalModeError:
            # Tied: it ends with this process, however that ends.
            start = ["--tied", "--port", "0", "--root", str(files.root), *arguments]
            process, endpoint = launch(files, start, stdin=subprocess.PIPE)
        for name in UNSET:
            os.environ.pop(name, None)
        os.environ |= variables(files, endpoint, before)
        yield
    finally:
        os.environ.clear()
        os.environ |= before
        if process:
            end(files, _END_SECONDS)
            process.wait(_END_SECONDS)
            if process.stdin:
                process.stdin.close()
