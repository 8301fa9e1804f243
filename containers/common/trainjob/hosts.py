"""A job's hosts as frameworks want them: ranks, addresses and the network interface, out of resourceconfig.json."""

import json
import logging
import socket
import zlib
from collections.abc import Sequence

from trainjob.contract import SHARDED
from trainjob.dataset import Share
from trainjob.environment import ChannelConfig, JobEnvironment

log = logging.getLogger(__name__)

_FIRST_PORT, _SLOTS, _PORTS = 10_000, 200, 100
"""Below the ports that systems give to connections; a slot has room for all ports of the largest job."""


def port(env: JobEnvironment) -> int:
    """The job's first port, the launchers'; the frameworks' follow.

    It depends on the job's name: in local mode two jobs may share a machine and its addresses.
    """
    return _FIRST_PORT + zlib.crc32(env.job_name.encode()) % _SLOTS * _PORTS


def variables(env: JobEnvironment, interfaces: Sequence[str] | None = None, local: int = 0) -> dict[str, str]:
    """What PyTorch's `env://` and TensorFlow's MultiWorkerMirroredStrategy read; nothing for a job of one host.

    Args:
        env: The job. A host's rank is its place in `hosts`, as the platform lists them.
        interfaces: Names of this host's network interfaces; looked up where they are not given.
        local: Processes on each host, of a script for torch.distributed, which is told of them on one host, too. RANK
            is that of the first on this host.
    """
    count, first, ranks = len(env.hosts), port(env), local or 1
    if count == 1 and not local:
        return {}
    values = {
        "RANK": str(env.rank * ranks),
        "WORLD_SIZE": str(count * ranks),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": env.hosts[0] if count > 1 else "127.0.0.1",
        "MASTER_PORT": str(first + 1),
    }
    if not local:
        # A port for each, as hosts may share a machine, and TensorFlow listens on all its addresses.
        workers = [f"{host}:{first + 2 + rank}" for rank, host in enumerate(env.hosts)]
        task = {"type": "worker", "index": env.rank}
        values["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    return values if count == 1 else values | _interface(env, interfaces)


def share(env: JobEnvironment, channel: ChannelConfig) -> Share:
    """Which records of a channel are this host's: of one that every host gets whole every n-th, else all it gets."""
    if len(env.hosts) == 1:
        return Share()
    if channel.distribution == SHARDED:
        return Share(may_be_empty=True)
    return Share(index=env.rank, count=len(env.hosts))


def _interface(env: JobEnvironment, interfaces: Sequence[str] | None) -> dict[str, str]:
    name = env.network_interface
    known = [each for _, each in socket.if_nameindex()] if interfaces is None else interfaces
    if name not in known:
        # Some local modes make a name up; a library that is told of it binds to nothing.
        log.warning("resourceconfig.json names the interface %s, but there are only: %s", name, ", ".join(known))
        return {}
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
