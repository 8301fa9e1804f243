"""Says which files of two images differ: `python scripts/compare_images.py IMAGE OTHER`; 0 none, 1 some."""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images import contents, engine
from scripts.images.entry import ImageError

SHOWN = 50


def compare(one: str, other: str) -> tuple[int, list[str]]:
    """How many files the first image has, and a line for each that is not the same in both.

    Raises:
        ImageError: The engine has no such image.
    """
    read = []
    for name in (one, other):
        engine.built(name, "<framework>")
        with engine.exported(name) as stream:
            read.append(contents.read(stream))
    return len(read[0]), list(contents.differences(*read))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the differences, and how many there are."""
    parser = argparse.ArgumentParser(description="Compare the files of two images: path, kind, mode, owner, sha256.")
    parser.add_argument("images", nargs=2, metavar="IMAGE", help="as for docker run")
    one, other = parser.parse_args(argv).images
    try:
        engine.check_engine()
        files, lines = compare(one, other)
    except ImageError as error:
        print(f"compare_images: {error}", file=sys.stderr)
        return 2
    print(*islice(lines, SHOWN), sep="\n", end="\n" if lines else "")
    print(f"{files} files in {one}, {len(lines)} of them or beside them not the same in {other}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
