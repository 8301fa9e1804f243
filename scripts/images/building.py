"""What BuildKit is told in order to build images: a definition for `docker buildx bake`, all images in one call."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.images import engine
from scripts.images.entry import LOCAL_TAG, Image, ImageError
from scripts.images.revision import Revision

COMMAND = ("docker", "buildx", "bake", "--file", "-")
ENVIRONMENT = {"BUILDX_BAKE_ENTITLEMENTS_FS": "0"}
"""Newer clients ask before a definition may read files elsewhere; this one is ours, and the files are who types's."""
DEFAULT_TARGET = "runtime"
LABEL = "org.opencontainers.image."


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an image is built on, as it was found."""

    reference: str
    """What stands behind FROM."""
    digest: str
    """What a registry calls that for ever; empty where it came from none."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is built, beside which images. All of it goes for each of them."""

    target: str = DEFAULT_TARGET
    """Stage of the Dockerfile."""
    pip_conf: Path | None = None
    """pip.conf of a private package index; a secret of the build."""
    ca_bundle: Path | None = None
    """Certificates to trust during the build; likewise."""
    fresh: bool = False
    """From nothing: no layer and no package that an earlier build left is used."""
    rewrite_times: bool = False
    """Every file in the layers gets the commit's time; the builder must be able to."""
    tags: Sequence[str] = ()
    """In place of the revision's and `dev`."""

    def __post_init__(self) -> None:
        for path in (self.pip_conf, self.ca_bundle):
            if path and not path.is_file():
                raise ImageError(f"There is no file '{path}'; give the path of a file that the build may read")

    def tags_for(self, revision: Revision) -> list[str]:
        """Under which tags the images shall lie in the engine."""
        if self.tags:
            return list(self.tags)
        # Another stage is another image: it must not take the place of the one that ships.
        suffix = "" if self.target == DEFAULT_TARGET else f"-{self.target}"
        return [revision.tag + suffix, LOCAL_TAG + suffix]


def find_base(image: Image) -> Base:
    """The pinned base where the engine has it or can fetch it; else what it has of that name, which is said."""
    here = engine.inspect(image.base)
    if image.base_digest:
        problem = "" if engine.inspect(image.pinned_base) else engine.pull(image.pinned_base)
        if not problem or here is None:  # with nothing of that name at hand, the build itself shall say why
            return Base(reference=image.pinned_base, digest=image.base_digest)
        print(f"not the pinned base: {image.base}@{image.base_digest[:19]} ({problem})", file=sys.stderr)
    known = [str(name).rpartition("@")[2] for name in (here or {}).get("RepoDigests") or ()]
    return Base(reference=image.base, digest=known[0] if known else "")


def labels(image: Image, revision: Revision, base: Base) -> dict[str, str]:
    """OCI's labels that change from build to build; the rest is the Dockerfile's, also a source where git has none."""
    told = {
        "created": revision.created,
        "version": revision.version,
        "revision": str(revision),
        "source": revision.source,
        "base.name": image.base,
        "base.digest": base.digest,
    }
    return {LABEL + name: value for name, value in told.items() if value}


def definition(
    images: Sequence[Image],
    revision: Revision,
    bases: Mapping[str, Base],
    request: Request,
    context: Path | None = None,
) -> dict[str, Any]:
    """All targets, to be given to `COMMAND` as JSON.

    Args:
        images: what to build.
        revision: what they are built from.
        bases: what each framework's image is built on.
        request: how.
        context: stands in for the folder `containers/`, as a copy of it may.
    """
    tags = request.tags_for(revision)
    targets = {
        image.framework: {
            "context": str(context or image.folder.parent),
            "dockerfile": f"{image.folder.name}/Dockerfile",
            "target": request.target,
            "args": _arguments(revision, bases[image.framework], request),
            "labels": labels(image, revision, bases[image.framework]),
            "tags": [image.name(tag) for tag in tags],
            "secret": _secrets(request),
            "output": ["type=docker,rewrite-timestamp=true" if request.rewrite_times else "type=docker"],
            **({"no-cache": True} if request.fresh else {}),
        }
        for image in images
    }
    return {"group": {"default": {"targets": list(targets)}}, "target": targets}


def _arguments(revision: Revision, base: Base, request: Request) -> dict[str, str]:
    # BuildKit itself reads SOURCE_DATE_EPOCH. No step sees it, so a new commit finds all that its files do not change.
    arguments = {"BASE": base.reference, "SOURCE_DATE_EPOCH": str(revision.time)}
    return arguments | ({"PIP_NO_CACHE_DIR": "1"} if request.fresh else {})


def _secrets(request: Request) -> list[str]:
    files = {"pip_conf": request.pip_conf, "ca_bundle": request.ca_bundle}
    return [f"id={secret},src={path.resolve()}" for secret, path in files.items() if path]
