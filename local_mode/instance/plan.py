"""Plans a channel: which objects it delivers, in which order, and how they reach the container."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainjob import contract

from local_mode.errors import SourceError
from local_mode.instance.sources import SourceObject, list_objects


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """What the request says about one channel."""

    name: str
    uri: str
    mode: str
    """One of contract.INPUT_MODES."""
    content_type: str | None = None
    distribution: str = "FullyReplicated"
    record_wrapper: str = "None"


@dataclass(frozen=True, kw_only=True)
class ChannelPlan:
    """A channel with its objects found and ordered."""

    spec: ChannelSpec
    objects: tuple[SourceObject, ...]
    root: Path | None
    """Folder that can be mounted in place of a copy; None when the channel is not exactly one folder."""
    surprise: str = ""

    @property
    def size(self) -> int:
        """Bytes of one epoch."""
        return sum(item.size for item in self.objects)


def plan_channel(spec: ChannelSpec) -> ChannelPlan:
    """Find the objects of a channel.

    Raises:
        SourceError: nothing is found, or FastFile is asked for something that is not a folder.
    """
    try:
        listing = list_objects(spec.uri)
    except SourceError as error:
        raise SourceError(f"Channel {spec.name!r}: {error}") from None
    if spec.mode == contract.FAST_FILE and listing.root is None:
        raise SourceError(
            f"Channel {spec.name!r}: FastFile needs a whole folder of plain files, and {spec.uri} is not one; "
            "end S3Uri with the folder's name and a slash, or use File."
        )
    return ChannelPlan(spec=spec, objects=listing.objects, root=listing.root, surprise=listing.surprise)


def copy_channel(plan: ChannelPlan, folder: Path) -> None:
    """Copy the objects of a channel below `folder`, which becomes /opt/ml/input/data/<channel>."""
    for item in plan.objects:
        target = folder / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.path, target)


def feeder_document(plans: Iterable[ChannelPlan], *, folder: Path, parent: int | None) -> dict[str, Any]:
    """The plan the feeder program reads: FIFOs go to `folder`; it ends when process `parent` does."""
    channels = [
        {"channel": plan.spec.name, "objects": [{"path": str(item.path), "size": item.size} for item in plan.objects]}
        for plan in plans
        if plan.spec.mode == contract.PIPE
    ]
    return {"folder": str(folder), "parent": parent, "channels": channels}
