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
"""Below the ports that systems give to connections. A slot has room for 98 processes; of more, those that share a port
are on other hosts."""


def port(env: JobEnvironment) -> int:
    """The job's first port, the launchers'; the frameworks' follow.

    It depends on the job's name: in local mode two jobs may share a machine and its addresses.
    """
    return _FIRST_PORT + zlib.crc32(env.job_name.encode()) % _SLOTS * _PORTS


def variables(env: JobEnvironment, interfaces: Sequence[str] | None = None) -> dict[str, str]:
    """What PyTorch's `env://` and TensorFlow's MultiWorkerMirroredStrategy read.

    Args:
        env: The job, as one of its processes sees it. A host's place in `hosts`, as the platform lists them, decides.
        interfaces: Names of this host's network interfaces; looked up where they are not given.
    """
    return place(env) | (_interface(env, interfaces) if len(env.hosts) > 1 else {})


def place(env: JobEnvironment) -> dict[str, str]:
    """Of these what tells a process which it is, and where the others are."""
    first = port(env)
    names = env.hosts if len(env.hosts) > 1 else ("127.0.0.1",)
    # A port for each, as hosts may share a machine, and TensorFlow listens on all its addresses.
    workers = [f"{names[rank // env.local_ranks]}:{first + 2 + rank % (_PORTS - 2)}" for rank in range(env.ranks)]
    return {
        "RANK": str(env.rank),
        "WORLD_SIZE": str(env.ranks),
        "LOCAL_RANK": str(env.local_rank),
        "LOCAL_WORLD_SIZE": str(env.local_ranks),
        "MASTER_ADDR": names[0],
        "MASTER_PORT": str(first + 1),
        "TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": env.rank}}),
    }


def share(env: JobEnvironment, channel: ChannelConfig) -> Share:
    """Which records of a channel are this process's: of one that every host gets whole every n-th of all processes.

    Of what a host alone gets, every n-th of its own processes.
    """
    if env.ranks == 1:
        return Share()
    if channel.distribution == SHARDED and len(env.hosts) > 1:
        return Share(index=env.local_rank, count=env.local_ranks, may_be_empty=True)
    return Share(index=env.rank, count=env.ranks)


def _interface(env: JobEnvironment, interfaces: Sequence[str] | None) -> dict[str, str]:
    name = env.network_interface
    known = [each for _, each in socket.if_nameindex()] if interfaces is None else interfaces
    if name not in known:
        # Some local modes make a name up; a library that is told of it binds to nothing.
        log.warning("resourceconfig.json names the interface %s, but there are only: %s", name, ", ".join(known))
        return {}
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
