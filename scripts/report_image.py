"""The size of a built image, by layer: `python scripts/report_image.py pytorch`; 1 where it is over its budget."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images import engine, junit, revision, sizes
from scripts.images.entry import ROOT, Image, ImageError, read_image
from scripts.images.layers import Archive, Layer

MEASURED = ROOT / ".local_mode" / "image-sizes"


def measure(image: Image, folder: Path = MEASURED) -> list[Layer]:
    """The layers of this machine's newest build of an image, measured once.

    Raises:
        ImageError: It is not built.
    """
    digests = engine.built(image.name(), image.framework)["RootFS"]["Layers"]
    layers = sizes.remembered(folder, digests)
    if layers is None:
        print(f"reading {image.name()} once, which takes a minute or two", file=sys.stderr)
        with engine.saved(image.name()) as stream:
            layers = Archive(stream, compress=True).layers
        sizes.remember(folder, layers)
    return layers


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, writes it as a test's result, and says whether the image is within its budget."""
    parser = argparse.ArgumentParser(description="Report the size of a built image.")
    parser.add_argument("framework", help="an entry of images.json, as in: pytorch")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", help="folder for the report as JUnit's XML")
    parser.add_argument("--release", action="store_true", help="note it in last_release.json, to be committed")
    given = parser.parse_args(argv)
    try:
        image = read_image(given.framework)
        engine.check_engine()
        layers = measure(image)
    except ImageError as error:
        print(f"report_image: {error}", file=sys.stderr)
        return 2
    release = sizes.Release.read()
    print(*sizes.table(image, layers, release), sep="\n")
    junit.write(given.reports / "junit" / f"size-{image.framework}.xml", "image size", sizes.cases(image, layers))
    if given.release:
        release.noting(revision.read().tag, image.framework, sizes.total(layers)).write()
    problem = sizes.over(image, sizes.total(layers))
    if problem:
        print(f"report_image: {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
