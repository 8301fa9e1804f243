"""Looks a built image over: `python scripts/smoke.py pytorch`; the exit code is the number of checks that failed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import docker

from scripts.environments.wheels import has_gpu
from scripts.images import engine
from scripts.images.entry import ImageError, read_image
from scripts.images.smoking import Checked, look_over

CALL_SECONDS = 180
NOT_RUN = 100


def line(checked: Checked) -> str:
    """A check in one line."""
    return f"{'ok' if checked.good else 'FAILED':<6} {checked.name:<22} {checked.seconds:6.1f} s  {checked.said}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the checks."""
    parser = argparse.ArgumentParser(description="Look a built image over, by checks from inside and by a whole job.")
    parser.add_argument("framework", help="an entry of images.json, as in: pytorch")
    parser.add_argument("--image", default="", help="another image than this machine's newest build")
    given = parser.parse_args(argv)
    try:
        image = read_image(given.framework)
        engine.check_engine()
        name = given.image or image.name()
        engine.built(name, image.framework)
    except ImageError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return NOT_RUN
    client = docker.from_env(timeout=CALL_SECONDS)
    try:
        done = []
        for checked in look_over(client, name, image.framework, gpu=has_gpu()):
            print(line(checked), flush=True)
            done.append(checked)
    finally:
        client.close()
    failed = sum(not checked.good for checked in done)
    print(f"\n{name}: {len(done) - failed} of {len(done)} checks in {sum(checked.seconds for checked in done):.0f} s")
    for checked in done:
        print(f"  {'ok' if checked.good else 'FAILED':<6} {checked.name}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
