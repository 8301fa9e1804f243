"""Plans a channel: which objects it delivers, in which order, and how they reach the container."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainjob import contract

from local_mode.channels.manifest import list_manifest
from local_mode.channels.objects import SCHEME, Source
from local_mode.channels.order import Order
from local_mode.channels.sources import Listing, SourceObject, list_objects, list_one, nothing, refuse_clashes
from local_mode.errors import SourceError

S3_PREFIX, MANIFEST, AUGMENTED_MANIFEST = "S3Prefix", "ManifestFile", "AugmentedManifestFile"
REPLICATED, SHARDED = "FullyReplicated", "ShardedByS3Key"
RECORD_IO, GZIP = "RecordIO", "Gzip"


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """What the request says about one channel."""

    name: str
    uri: str
    mode: str
    """One of contract.INPUT_MODES."""
    data_type: str = S3_PREFIX
    attributes: tuple[str, ...] = ()
    """Of an augmented manifest: what becomes a record, in this order."""
    content_type: str | None = None
    distribution: str = REPLICATED
    record_wrapper: str = "None"
    compression: str = "None"
    seed: int | None = None
    """Of ShuffleConfig; None leaves the order as it is."""
    contiguous: bool = False
    """See Order; a switch, as nobody knows which it is on the service."""
    full_keys: bool = True
    """See list_manifest; a switch, as one report is all there is."""


@dataclass(frozen=True, kw_only=True)
class ChannelPlan:
    """A channel with its objects found and ordered."""

    spec: ChannelSpec
    objects: tuple[SourceObject, ...]
    """In Pipe mode all there are, `order` says what of them an epoch has; else this host's, in their order."""
    order: Order
    root: Path | None = None
    """Folder that can be mounted in place of a copy; None when the channel is not exactly one folder."""
    surprise: str = ""

    @property
    def is_lazy(self) -> bool:
        """Whether its files are to be fetched from S3 no sooner than they are read."""
        return self.spec.mode == contract.FAST_FILE and self.spec.uri.startswith(SCHEME)

    @property
    def size(self) -> int:
        """Bytes of all objects; of an augmented manifest itself."""
        return sum(item.size for item in self.objects)


def plan_channel(spec: ChannelSpec, *, host: int = 0, hosts: int = 1, s3: Source | None = None) -> ChannelPlan:
    """Find the objects of a channel, for one of several hosts; `s3` serves what is in S3.

    Raises:
        SourceError: nothing is found, or what `arrange` refuses.
    """
    try:
        listing = _list(spec, s3)
        if spec.mode != contract.PIPE:
            refuse_clashes(spec.uri, listing.objects)
    except SourceError as error:
        raise SourceError(f"Channel {spec.name!r}: {error}") from None
    return arrange(spec, listing, host=host, hosts=hosts)


def arrange(spec: ChannelSpec, listing: Listing, *, host: int = 0, hosts: int = 1) -> ChannelPlan:
    """The plan of a channel whose objects are found.

    Raises:
        SourceError: FastFile is asked for something that is not a folder.
    """
    among = hosts if spec.distribution == SHARDED else 1
    order = Order(seed=spec.seed, host=host if among > 1 else 0, hosts=among, contiguous=spec.contiguous)
    objects, root = listing.objects, listing.root if among == 1 else None
    if spec.mode != contract.PIPE:
        objects = tuple(objects[index] for index in order.of(len(objects), 0))
    if spec.mode == contract.FAST_FILE and not listing.whole:
        raise SourceError(
            f"Channel {spec.name!r}: FastFile needs a whole folder of plain files, and {spec.uri} is not one; "
            "end S3Uri with the folder's name and a slash, or use File."
        )
    return ChannelPlan(spec=spec, objects=objects, order=order, root=root, surprise=listing.surprise)


def feeder_document(plans: Iterable[ChannelPlan], *, folder: Path, parent: int | None) -> dict[str, Any]:
    """The plan the feeder program reads: FIFOs go to `folder`; it ends when process `parent` does."""
    channels = [_feed(plan) for plan in plans if plan.spec.mode == contract.PIPE]
    return {"folder": str(folder), "parent": parent, "channels": channels}


def _feed(plan: ChannelPlan) -> dict[str, Any]:
    return {
        "channel": plan.spec.name,
        "objects": [{"key": item.key, "size": item.size, "tag": item.tag} for item in plan.objects],
        "attributes": list(plan.spec.attributes),
        "record_io": plan.spec.record_wrapper == RECORD_IO,
        "gzip": plan.spec.compression == GZIP,
        "order": dataclasses.asdict(plan.order),
    }


def _list(spec: ChannelSpec, s3: Source | None) -> Listing:
    if spec.data_type == MANIFEST:
        return list_manifest(spec.uri, full_keys=spec.full_keys, s3=s3)
    if spec.data_type == AUGMENTED_MANIFEST:
        listing = list_one(spec.uri, s3)
        if listing.objects[0].size == 0:
            raise nothing(spec.uri, "the augmented manifest is empty")
        return listing
    return list_objects(spec.uri, s3)
