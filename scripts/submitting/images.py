"""Which image a TrainingImage means: a key of images.json is the image that was pushed last, or this machine's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.images.entry import image_name
from scripts.publishing import pushed
from scripts.publishing.errors import PublishError
from scripts.submitting.errors import SubmitError

ROOT = Path(__file__).resolve().parents[2]


def framework_of(image: str | None, root: Path = ROOT) -> str | None:
    """Which of our images it is: by its key, or by its repository in any registry; None for any other."""
    images = _images(root)
    if image in images:
        return image
    name = (image or "").rpartition("/")[2].partition("@")[0].partition(":")[0]
    return next((key for key, entry in images.items() if entry["repository"] == name), None)


def resolve(image: str | None, *, local: bool, root: Path = ROOT) -> str:
    """What to send as TrainingImage.

    Args:
        image: a key of images.json, any other name, or None for the image that was pushed last.
        local: that the job runs on this machine, where a key means the newest build, pushed or not.
        root: the project.

    Raises:
        SubmitError: Nothing was pushed that it could mean.
    """
    images = _images(root)
    if image is None:
        return _last_pushed(images, root)
    if image not in images:
        return image
    if local:
        return image_name(image)
    uri = pushed_uri(image, root)
    if uri is None:
        raise SubmitError(
            f"TrainingImage is {image}, but there is no {pushed.place(pushed.FOLDER, image)}, which a push from here "
            f"leaves; run make push/{image}, or give the image's URI"
        )
    return uri


def pushed_uri(framework: str, root: Path = ROOT) -> str | None:
    """The URI that was pushed last; None if none was from here.

    Raises:
        SubmitError: The file is not what a push leaves.
    """
    if not pushed.place(root / pushed.FOLDER, framework).exists():
        return None
    try:
        return pushed.last(root / pushed.FOLDER, framework).uri
    except PublishError as error:
        raise SubmitError(str(error)) from None


def _last_pushed(images: Mapping[str, Any], root: Path) -> str:
    paths = [path for key in images if (path := pushed.place(root / pushed.FOLDER, key)).exists()]
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    uri = pushed_uri(newest.stem, root) if newest else None
    if uri is None:
        raise SubmitError(
            f"AlgorithmSpecification.TrainingImage is missing, and nothing was pushed from here that it could be; give "
            f"{' or '.join(images)}, or an image's URI"
        )
    return uri


def _images(root: Path) -> dict[str, Any]:
    images: dict[str, Any] = json.loads((root / "images.json").read_text(encoding="utf-8"))
    return images
