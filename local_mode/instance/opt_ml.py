"""Writes /opt/ml as the platform does before a container starts."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainjob import contract

from local_mode.channels.plan import ChannelSpec
from local_mode.instance.cluster import Cluster

BASE = str(contract.Paths().base)
"""Where a container finds this tree."""
CHECKPOINTS = str(contract.Paths().checkpoints)
"""Where a container finds its checkpoints unless the request says otherwise."""
TENSORBOARD = str(contract.Paths().output / "tensorboard")
"""Where a program leaves TensorBoard's files unless the request says otherwise."""


def write(  # noqa: PLR0913 - each argument is one thing the files say
    base: Path,
    *,
    hyperparameters: Mapping[str, str],
    channels: Iterable[ChannelSpec],
    cluster: Cluster,
    host: str,
    network_interface: str,
    checkpoint_path: str | None,
    extra: str | None = None,
    tensorboard: Mapping[str, str] | None = None,
) -> contract.Paths:
    """Make the tree of `host` below `base`, with the documented config files; channel folders come with their data.

    `extra` names a key in every object that the platform lays out, and a file, which no program knows.
    """
    paths = contract.Paths(base)
    for folder in (paths.config, paths.data, paths.model, paths.output_data, paths.checkpoints):
        folder.mkdir(parents=True)
    _write(paths.hyperparameters, dict(hyperparameters))
    unknown: dict[str, Any] = {} if extra is None else {extra: "to be passed over"}
    _write(paths.input_data_config, {channel.name: {**_channel(channel), **unknown} for channel in channels})
    _write(paths.resource_config, {**_resources(cluster, host, network_interface), **unknown})
    if extra is not None:
        _write(paths.config / f"{extra}.json", unknown)
    if checkpoint_path is not None:
        _write(paths.checkpoint_config, {"LocalPath": checkpoint_path})
    if tensorboard is not None:
        _write(paths.config / "tensorboardoutputconfig.json", dict(tensorboard))
    return paths


def failure_text(paths: contract.Paths) -> str | None:
    """What the container left in output/failure: its first 1,024 characters; None without the file."""
    try:
        # A character takes at most four bytes in UTF-8; a program may have left gigabytes.
        with paths.failure.open("rb") as file:
            return file.read(contract.FAILURE_LIMIT * 4).decode("utf-8", "replace")[: contract.FAILURE_LIMIT]
    except OSError:
        return None  # absent, or not a readable file: the exit code alone speaks


def _channel(spec: ChannelSpec) -> dict[str, str]:
    entry = {
        contract.INPUT_MODE: spec.mode,
        contract.DISTRIBUTION: spec.distribution,
        contract.RECORD_WRAPPER: spec.record_wrapper,
    }
    return entry if spec.content_type is None else {**entry, contract.CONTENT_TYPE: spec.content_type}


def _resources(cluster: Cluster, host: str, network_interface: str) -> dict[str, Any]:
    """Hosts are sorted as text, as on the platform: algo-10 comes before algo-2."""
    group = cluster.group(host)
    return {
        contract.CURRENT_HOST: host,
        contract.INSTANCE_TYPE: group.instance_type,
        contract.GROUP_NAME: group.name,
        contract.HOSTS: sorted(cluster.hosts),
        contract.INSTANCE_GROUPS: [
            {"instance_group_name": item.name, "instance_type": item.instance_type, "hosts": sorted(item.hosts)}
            for item in cluster.groups
        ],
        contract.NETWORK_INTERFACE: network_interface,
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")
