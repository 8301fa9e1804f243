"""How long a rebuild of an image takes, unchanged and after a change of code: `make bench/build_times`.

The image must have been built once. Works on a copy of containers/ and a tag of its own.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rounds import measure, ratio, report
from scripts.build_image import build
from scripts.images.building import Request
from scripts.images.engine import check_engine
from scripts.images.entry import Image, read_image

TAG = "benchmark"
ROUNDS = 3


def seconds_to_build(image: Image, context: Path) -> float:
    """Wall-clock seconds of one build."""
    start = time.perf_counter()
    build([image], Request(tags=[TAG]), context)
    return time.perf_counter() - start


def contestants(image: Image, context: Path) -> dict[str, Callable[[], float]]:
    """What is changed before a build, and the build."""

    def build_after_changing(file: Path) -> float:
        # Never the same text twice, or a former run of this script would have filled the cache.
        file.write_text(f"{file.read_text()}\n# {time.time_ns()}\n")
        return seconds_to_build(image, context)

    return {
        "unchanged": lambda: seconds_to_build(image, context),
        "trainjob_changed": lambda: build_after_changing(context / "common/trainjob/contract.py"),
        "program_changed": lambda: build_after_changing(
            context / image.folder.name / f"{image.folder.name}_job/__init__.py"
        ),
    }


def main() -> None:
    """Prints the figures of one framework."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("framework", nargs="?", default="pytorch")
    image = read_image(parser.parse_args().framework)
    check_engine()
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch) / "containers"
        shutil.copytree(image.folder.parent, context, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            seconds_to_build(image, context)  # what the copy's build makes for the first time is nobody's rebuild
            figures = measure(contestants(image, context), ROUNDS)
        finally:
            subprocess.run(["docker", "image", "rm", "--force", image.name(TAG)], check=False, capture_output=True)
    ratios = {
        "trainjob_changed_vs_unchanged": ratio(figures, "trainjob_changed", "unchanged"),
        "program_changed_vs_unchanged": ratio(figures, "program_changed", "unchanged"),
    }
    report("build_times", "seconds", figures, ratios)


if __name__ == "__main__":
    main()
