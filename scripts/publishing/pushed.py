"""What was pushed last, of each image: written for the next step, which may be another program or another day."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.publishing.errors import PublishError

FOLDER = Path("dist") / "pushed"
"""Of the project, unless a push is told another."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image in a registry."""

    framework: str
    uri: str
    """By digest: what to paste into an Estimator, and what an engine that has pushed or pulled it knows it by."""
    tag: str
    """The same by its tag."""
    image: str
    """Its id in the engine that pushed it."""
    revision: str
    """The commit it was built from."""

    def write(self, folder: Path) -> Path:
        """Put it down, whole."""
        folder.mkdir(parents=True, exist_ok=True)
        path = place(folder, self.framework)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
        return path


def last(folder: Path, framework: str) -> Pushed:
    """What was pushed last of a framework's image.

    Raises:
        PublishError: nothing was, or the file is not one of ours.
    """
    path = place(folder, framework)
    try:
        return Pushed(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PublishError(
            f"Nothing was pushed of '{framework}' as far as {path} tells; run: make push/{framework}"
        ) from None
    except (ValueError, TypeError) as error:
        raise PublishError(f"{path} is not what a push leaves ({error}); run: make push/{framework}") from None


def place(folder: Path, framework: str) -> Path:
    """Where that is written down, in a folder of pushes."""
    return folder / f"{framework}.json"
