#!/usr/bin/env python3
"""Has an endpoint run on this machine that can run a framework's jobs, and prints its address.

    local_up.py pytorch [--runtime auto|docker|process]

What the process runner needs in place of the image is made where no engine has the image. One that runs is kept.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_mode import host
from local_mode.endpoint import Files, start_in_background
from local_mode.errors import LocalModeError
from scripts.environments.environment import ROOT, SetupError, write_whole
from scripts.local_job import STATE, made_ready


def main(argv: Sequence[str] | None = None) -> int:
    """Starts it, or finds it."""
    parser = argparse.ArgumentParser(description="Have an endpoint run that can run a framework's jobs.")
    parser.add_argument("framework", choices=list(json.loads((ROOT / "images.json").read_text())))
    parser.add_argument("--runtime", default="auto", help="auto, docker or process (%(default)s)")
    parser.add_argument("--port", default="0", help="of one that is started; 0 is any (%(default)s)")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="folder of jobs (.local_mode)")
    arguments = parser.parse_args(argv)
    try:
        host.check()
        print(_endpoint(arguments))
    except (SetupError, LocalModeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _endpoint(arguments: argparse.Namespace) -> str:
    state = arguments.state.resolve()
    made_ready(arguments.framework, arguments.runtime, None, state)
    stand_ins = state / "stand-ins.json"
    if not stand_ins.exists():  # the endpoint looks into it for each job, and another framework may need it later
        state.mkdir(parents=True, exist_ok=True)
        write_whole(stand_ins, "{}\n")
    options = ["--port", arguments.port, "--runtime", arguments.runtime, "--stand-ins", str(stand_ins)]
    return start_in_background(Files(root=state), [*options, "--root", str(state)]).url


if __name__ == "__main__":
    sys.exit(main())
