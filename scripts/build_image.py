"""Builds images of images.json with BuildKit: `python scripts/build_image.py pytorch`; without a name, all at once."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images import building, engine, revision
from scripts.images.entry import Image, ImageError, read_image, read_images


def build(images: Sequence[Image], request: building.Request, context: Path | None = None) -> list[str]:
    """Builds images side by side, as far as the engine does that.

    Args:
        images: which.
        request: how.
        context: stands in for the folder `containers/`.

    Returns:
        The names under which they lie in the engine.

    Raises:
        subprocess.CalledProcessError: BuildKit failed, and has said why.
    """
    source = revision.read()
    bases = {image.framework: building.find_base(image) for image in images}
    definition = building.definition(images, source, bases, request, context)
    subprocess.run(
        building.COMMAND, input=json.dumps(definition).encode(), check=True, env=building.ENVIRONMENT | os.environ
    )
    return [image.name(tag) for image in images for tag in request.tags_for(source)]


def _file(typed: str) -> Path | None:
    return Path(typed) if typed else None


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build training images on this machine.")
    parser.add_argument("framework", nargs="*", help="entries of images.json, as in: pytorch; without one, all")
    parser.add_argument("--target", default=building.DEFAULT_TARGET, help="stage of the Dockerfile (runtime, compile)")
    parser.add_argument("--pip-conf", type=_file, metavar="FILE", help="pip.conf of a private package index")
    parser.add_argument("--ca-bundle", type=_file, metavar="FILE", help="certificates to trust during the build")
    parser.add_argument("--fresh", action="store_true", help="use nothing that an earlier build left")
    parser.add_argument("--tag", action="append", default=[], help="in place of <version>-<commit> and dev")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Builds the images and says under which names they lie."""
    given = _parse(argv)
    try:
        images = [read_image(name) for name in given.framework] or list(read_images().values())
        engine.check_engine()
        engine.check_buildx()
        request = building.Request(
            target=given.target,
            pip_conf=given.pip_conf,
            ca_bundle=given.ca_bundle,
            fresh=given.fresh,
            rewrite_times=engine.rewrites_times(),
            tags=given.tag,
        )
        names = build(images, request)
    except ImageError as error:
        print(f"build_image: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode  # BuildKit has said what was wrong
    print("built", " ".join(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
