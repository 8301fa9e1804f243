"""Indexes an image in a registry for lazy pulling: `python scripts/index_image.py pytorch --image URI`.

SageMaker starts a job before all of its image has arrived where the registry has such an index beside the image. The
tool for it, soci, reads the image from containerd, so the engine has to keep its images there.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images.entry import ImageError, read_image

NAMESPACE = "moby"
"""Where an engine has its images in containerd."""


def index(repository: str, uri: str) -> None:
    """Makes the index of an image and puts it beside the image.

    Raises:
        ImageError: There is no soci, or the URI is of no pushed image.
        subprocess.CalledProcessError: It failed, and has said why.
    """
    if shutil.which("soci") is None:
        raise ImageError("There is no 'soci' on PATH; install soci-snapshotter, or push without an index")
    if f"/{repository}" not in uri:
        raise ImageError(f"IMAGE_URI='{uri}' is no pushed {repository}; give its URI, as in REGISTRY/{repository}:TAG")
    for verb in ("create", "push"):
        subprocess.run(["soci", "--namespace", NAMESPACE, verb, uri], check=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Indexes the image."""
    parser = argparse.ArgumentParser(description="Index a pushed image for lazy pulling.")
    parser.add_argument("framework", help="an entry of images.json, as in: pytorch")
    parser.add_argument("--image", required=True, help="its URI in the registry, by tag")
    given = parser.parse_args(argv)
    try:
        index(read_image(given.framework).repository, given.image)
    except ImageError as error:
        print(f"index_image: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode  # soci has said why
    print("indexed", given.image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
