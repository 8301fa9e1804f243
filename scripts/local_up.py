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
from local_mode.endpoint import Files, find, start_in_background
from local_mode.errors import LocalModeError
from scripts.environments.environment import ROOT, SetupError
from scripts.images.entry import image_name
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
    known, files = _known(state), Files(root=state)
    running = made_ready(arguments.framework, arguments.runtime, None, state)
    image = image_name(arguments.framework)
    started = start_in_background(files, ["--port", arguments.port, "--root", str(state), *running])
    if image in _known(state) and image not in known and _is_older(files, state):
        raise LocalModeError(
            f"The endpoint at {started.url} was started before there was anything to run in place of {image}; end it "
            "with `make local-down`, and start again."
        )
    return find(files).url


def _known(state: Path) -> dict[str, object]:
    path = state / "stand-ins.json"
    found: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _is_older(files: Files, state: Path) -> bool:
    return files.endpoint.stat().st_mtime < (state / "stand-ins.json").stat().st_mtime


if __name__ == "__main__":
    sys.exit(main())
