"""A job's own way to S3: what its request names there, and a door to exactly that while it runs."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from local_mode.jobs.listener import Listener
from local_mode.jobs.request import TrainingJobRequest
from local_mode.runners.protocol import Network

SCHEME = "s3://"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a job may do in S3, as pairs of a bucket and the text that a key begins with."""

    read: tuple[tuple[str, str], ...]
    """Channels and hyperparameters."""
    write: tuple[tuple[str, str], ...]
    """Its own part of the output paths, and its checkpoints; it may read there, too."""

    def may_read(self, bucket: str, key: str) -> bool:
        """Whether it may read this object, or list the keys that begin so."""
        return _is_below((*self.read, *self.write), bucket, key)

    def may_write(self, bucket: str, key: str) -> bool:
        """Whether it may write or remove this object."""
        return _is_below(self.write, bucket, key)

    def names(self, bucket: str) -> bool:
        """Whether there is anything in this bucket for it."""
        return any(bucket == own for own, _ in (*self.read, *self.write))


class Door(Protocol):
    """An open door; `close` must follow."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program needs to find it and to pass."""
        ...

    def close(self) -> None:
        """Close it, for whoever is on his way through as well."""
        ...


Open = Callable[[Scope, str], Door]
"""Opens a door on an address of this machine; OSError where that cannot be had."""


def scope(request: TrainingJobRequest) -> Scope:
    """What the request of a job names."""
    config = request.CheckpointConfig
    folders = [f"{request.OutputDataConfig.S3OutputPath.rstrip('/')}/{request.TrainingJobName}"]
    folders += [config.S3Uri] if config else []
    if request.TensorBoardOutputConfig:
        folders.append(f"{request.TensorBoardOutputConfig.S3OutputPath.rstrip('/')}/{request.TrainingJobName}")
    read = [channel.DataSource.S3DataSource.S3Uri for channel in request.InputDataConfig]
    for value in (request.HyperParameters or {}).values():
        read += _strings(value)
    return Scope(
        read=tuple(_split(uri) for uri in read if _names_bucket(uri)),
        write=tuple(_split(f"{uri.rstrip('/')}/") for uri in folders if _names_bucket(uri)),
    )


def open_door(request: TrainingJobRequest, network: Network, opens: Open | None, listener: Listener) -> Door | None:
    """The door of a job whose hosts are on `network`; None where there is no S3, and for a job that is isolated."""
    if opens is None or request.EnableNetworkIsolation or not network.gateway:
        return None
    try:
        return opens(scope(request), network.gateway)
    except OSError as error:
        listener.note(
            f"the program cannot reach S3: {network.gateway}, by which containers see this machine, is not an address "
            f"of it ({error.strerror}); use an engine on Linux itself, or --runtime process"
        )
        return None


def _strings(value: str) -> Iterator[str]:
    """The strings in a hyperparameter, which may be JSON."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = value
    left: list[Any] = [found]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            left += item.values()


def _names_bucket(uri: str) -> bool:
    return uri.startswith(SCHEME) and _split(uri)[0] != ""


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    return bucket, key


def _is_below(places: tuple[tuple[str, str], ...], bucket: str, key: str) -> bool:
    return any(bucket == own and key.startswith(prefix) for own, prefix in places)
