"""How long a rebuild of an image takes, unchanged and after a change of code: `python benchmarks/build_times.py`.

The image must have been built once. Works on a copy of containers/ and a tag of its own; prints JSON.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.build_image import Image, build_command, check_engine, read_image

TAG = "benchmark"
RUNS = 3


def seconds_to_build(image: Image, context: Path) -> float:
    """Wall-clock seconds of one build."""
    command = build_command(image, tags=[TAG], arguments={"VERSION": TAG}, context=context)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def measure(image: Image, context: Path) -> dict[str, list[float]]:
    """Seconds of each run, by what was changed before it."""
    changed = {
        "unchanged": None,
        "trainjob changed": context / "common/trainjob/contract.py",
        "program changed": context / image.folder.name / f"{image.folder.name}_job/__init__.py",
    }
    seconds_to_build(image, context)  # what the copy's build has to make for the first time is nobody's rebuild
    figures: dict[str, list[float]] = {}
    for what, file in changed.items():
        figures[what] = []
        for run in range(RUNS):
            if file:
                # Never the same text twice, or a former run of this script would have filled the cache.
                file.write_text(f"{file.read_text()}\n# {run} {time.time_ns()}\n")
            figures[what].append(seconds_to_build(image, context))
    return figures


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
            figures = measure(image, context)
        finally:
            subprocess.run(["docker", "image", "rm", "--force", image.name(TAG)], check=False, capture_output=True)
    report = {
        "unit": "seconds, median of the runs",
        "cores": os.cpu_count(),
        **{what: round(statistics.median(runs), 2) for what, runs in figures.items()},
        "runs": {what: [round(run, 2) for run in runs] for what, runs in figures.items()},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
