"""Pins the images' base: asks the registry which image its name means now, and writes the digest to images.json."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.images.entry import ROOT, ImageError, read_images
from scripts.publishing.errors import PublishError
from scripts.publishing.registry import Registry
from scripts.publishing.target import Target, is_loopback

HUB = "registry-1.docker.io"
"""Where a name without a registry leads."""


def locate(name: str) -> tuple[Target, str]:
    """Repository and tag of a name behind FROM, as Docker reads it: `debian:trixie-slim`, `localhost:5000/base:1`."""
    first, slash, rest = name.partition("/")
    elsewhere = bool(slash) and ("." in first or ":" in first or first == "localhost")
    repository, _, tag = (rest if elsewhere else name).partition(":")
    if not elsewhere and "/" not in repository:
        repository = f"library/{repository}"
    return Target(registry=first if elsewhere else HUB, repository=repository), tag or "latest"


def find_digest(name: str) -> str:
    """The digest that a registry has for a name now: of the list of platforms, where there is one.

    Raises:
        ImageError: the registry has no such image.
        PublishError: it is out of reach, or refuses.
    """
    target, tag = locate(name)
    found = Registry(target=target, insecure=is_loopback(target.registry)).manifest(tag)
    if found is None:
        raise ImageError(f"The registry {target.registry} has no '{name}'; is the name in images.json right?")
    return found.digest


def pinned(text: str, base: str, digest: str) -> str:
    """images.json with another pin behind every entry of a base; all else of it stays as it was written."""
    pattern = rf'("base": "{re.escape(base)}",\s*"base_digest": ")[^"]*(")'
    found, count = re.subn(pattern, rf"\g<1>{digest}\g<2>", text)
    if not count:
        raise ImageError(f"images.json has no 'base_digest' behind the 'base' {base}; write one, which may be empty")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Pins every base that images.json names, and says which are new."""
    parser = argparse.ArgumentParser(description="Pin the images' base by digest, as a registry has it now.")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of images.json")
    root = parser.parse_args(argv).root
    path = root / "images.json"
    try:
        for base, old in sorted({(image.base, image.base_digest) for image in read_images(root).values()}):
            digest = find_digest(base)
            path.write_text(pinned(path.read_text(), base, digest))
            print(f"{base} is {digest}" + (", as before" if digest == old else f", after {old or 'no pin'}"))
    except (ImageError, PublishError) as error:
        print(f"bump_base: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
