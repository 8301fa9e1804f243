#!/usr/bin/env python3
"""Shows the jobs of this machine as runs, in MLflow's own page: `make experiments`.

    experiments.py [--port 4641] [--root .local_mode]

MLflow's page is in an environment of its own, made when it is first asked for. Jobs that were not sent anywhere yet are
sent to the store beside them, and those that go on as they go. The page listens on this machine alone.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_mode.api.reach import LOOPBACK
from local_mode.errors import LocalModeError
from local_mode.tracking.service import end_sender, local_store, start_sender
from scripts.environments import project
from scripts.environments.environment import ROOT, SetupError, say

PORT = 4641
"""The one after the endpoint's."""
START_SECONDS = 120
_END_SECONDS = 20
_LOOK_SECONDS = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the page until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Show jobs as runs in MLflow's page.")
    parser.add_argument("--port", type=int, default=PORT, help="of the page (%(default)s)")
    parser.add_argument("--root", type=Path, default=ROOT / ".local_mode", help="folder of all jobs (.local_mode)")
    arguments = parser.parse_args(argv)
    try:
        check_port(arguments.port)
        python = project.make_apart("experiments")
        make_store(arguments.root)
        return show(page_command(python, arguments.root, arguments.port), arguments.root, arguments.port)
    except (SetupError, LocalModeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell counts an interrupt


def check_port(port: int) -> None:
    """Refuses a port that is taken, before anything is made.

    Raises:
        SetupError: Names it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            why = f"Port {port} of {LOOPBACK} cannot be had ({error.strerror})"
            raise SetupError(f"{why}; give another: make experiments EXPERIMENTS_PORT=N") from None


def make_store(root: Path) -> None:
    """Makes the store, so that the page and the sender find the same one."""
    if not Path(local_store(root).removeprefix("sqlite:///")).exists():
        from local_mode.tracking.runs import Runs  # noqa: PLC0415 - it loads MLflow, which takes seconds

        Runs(local_store(root))


def page_command(python: Path, root: Path, port: int) -> list[str]:
    """What starts MLflow's page."""
    store = ("--backend-store-uri", local_store(root), "--host", LOOPBACK, "--port", str(port), "--workers", "1")
    return [str(python), "-m", "mlflow", "server", *store]


def show(command: Sequence[str], root: Path, port: int) -> int:
    """Runs the page and a sender beside it; ends both when one of them does, or when this is told to end."""
    signal.signal(signal.SIGTERM, _interrupt)
    log = root / "mlflow" / "server.log"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    sender = start_sender(root.resolve(), local_store(root))
    try:
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, env=os.environ | quiet
            ) as page,
        ):
            try:
                await_page(page, port, log)
                say(f"runs of the jobs in {root}: http://{LOOPBACK}:{port}  (Ctrl-C ends it)")
                return page.wait()
            finally:
                page.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    page.wait(_END_SECONDS)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(page.pid, signal.SIGKILL)  # what it has started, too
    finally:
        end_sender(sender)


def await_page(page: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Waits until the page answers.

    Raises:
        SetupError: It does not.
    """
    deadline = time.monotonic() + START_SECONDS
    while page.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        time.sleep(_LOOK_SECONDS)
    raise SetupError(f"MLflow's page did not start; {log} says why")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
