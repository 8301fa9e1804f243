"""An entry of images.json, the one list of images."""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCAL_TAG = "dev"
"""Moves with every build on this machine; never pushed."""


class ImageError(Exception):
    """An image cannot be built or looked at, for a reason that the person who typed the command can remove."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How large an image may be, unpacked. The goal is what is worked towards, and stops nobody."""

    limit: int
    """Bytes. A larger image is not handed on."""
    goal: int
    """Bytes."""

    def __post_init__(self) -> None:
        if not 0 < self.goal <= self.limit:
            raise ImageError(f"A budget has 0 < goal <= limit, not goal={self.goal}, limit={self.limit}")


@dataclass(frozen=True, kw_only=True)
class Image:
    """One entry of images.json. It is not the built image: that is what `name` points to."""

    framework: str
    folder: Path
    repository: str
    base: str
    """What the Dockerfile begins with, by name."""
    base_digest: str
    """Which of the images of that name, as `make bump-base` found it; empty while none was found."""
    budget: Budget

    def name(self, tag: str = LOCAL_TAG) -> str:
        """What to type after `docker run`."""
        return f"{self.repository}:{tag}"

    @property
    def pinned_base(self) -> str:
        """The base as a registry knows it for ever; its name alone while there is no pin."""
        return f"{self.base}@{self.base_digest}" if self.base_digest else self.base


def read_images(root: Path = ROOT) -> dict[str, Image]:
    """All of images.json, by framework."""
    return {name: _image(name, entry, root) for name, entry in _entries(root).items()}


def read_image(framework: str, root: Path = ROOT) -> Image:
    """The entry of images.json for a framework.

    Raises:
        ImageError: images.json has no such entry.
    """
    images = _entries(root)
    if framework not in images:
        nearest = get_close_matches(framework, images, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise ImageError(f"There is no image '{framework}' in images.json, which lists {', '.join(images)}{hint}")
    return _image(framework, images[framework], root)


def image_name(framework: str) -> str:
    """The name under which this machine's newest build of a framework's image is found: `<repository>:dev`."""
    return read_image(framework).name()


def _entries(root: Path) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads((root / "images.json").read_text())
    return entries


def _image(framework: str, entry: dict[str, Any], root: Path) -> Image:
    megabytes = entry["megabytes"]
    return Image(
        framework=framework,
        folder=root / entry["folder"],
        repository=entry["repository"],
        base=entry["base"],
        base_digest=entry["base_digest"],
        budget=Budget(limit=megabytes["limit"] * 10**6, goal=megabytes["goal"] * 10**6),
    )
