#!/usr/bin/env python3
"""Makes the Python environments of this project; standard library only, so that it runs before anything is installed.

    make_environment.py host                        .venv, with what `make local-train` and the scripts need
    make_environment.py serve                       the same, with what `make local-up` needs
    make_environment.py tune                        the same, with what pictures of sweeps need
    make_environment.py test                        the same, with what `make check` needs
    make_environment.py pytorch [--python PYTHON]   an interpreter that imports the framework; prints its path
    make_environment.py notebooks                   SDK v2 with what notebooks need; prints its interpreter
    make_environment.py pytest                      pytest alone, to be put on the PYTHONPATH of another Python

What is there already is found again in well under 0.1 s. Only the answer goes to stdout; news goes to stderr.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one should read this, not a SyntaxError
    sys.exit(
        "error: this needs Python 3.11 or newer, but {} is Python {}.{}; install a newer one and say "
        "make PYTHON3=/path/to/python3.11".format(sys.executable, *sys.version_info[:2])
    )

import argparse
import json
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_mode import host
from local_mode.errors import HostError
from scripts.environments import interpreter, project
from scripts.environments.environment import ROOT, SetupError


def _parse() -> argparse.Namespace:
    frameworks = list(json.loads((ROOT / "images.json").read_text()))
    parser = argparse.ArgumentParser(description="Make a Python environment of this project, or find it again.")
    parser.add_argument("environment", choices=["host", "serve", "tune", "test", "notebooks", "pytest", *frameworks])
    parser.add_argument("--python", metavar="PYTHON", help="an interpreter that has the framework; else one is found")
    return parser.parse_args()


def main() -> int:
    """Makes the environment and prints what to use of it."""
    arguments = _parse()
    try:
        host.check()
        if arguments.environment in ("host", "serve", "tune", "test"):
            answer = project.make(arguments.environment)
        elif arguments.environment == "notebooks":
            answer = project.make_apart("notebooks")
        elif arguments.environment == "pytest":
            answer = project.make_pytest()
        else:
            answer = interpreter.find(arguments.environment, arguments.python)
    except (HostError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell counts an interrupt; what was half made is gone
    print(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
