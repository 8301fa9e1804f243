"""The network of a job's own that connects its hosts, in a Docker engine."""

import ipaddress
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import docker.errors

from local_mode.errors import RunnerError
from local_mode.runners.protocol import Network

_REMOVE_SECONDS = 60
JOB_LABEL = "local_mode.job"
ROOT_LABEL = "local_mode.root"
HOST_LABEL = "local_mode.host"


def private_network(
    client: Any, job_folder: Path, hosts: tuple[str, ...], *, isolated: bool, interface: str = ""
) -> Network:
    """Make a bridge for the hosts of one job; they see it as `interface`, or as Docker's own name for the first.

    Raises:
        RunnerError: the engine makes none.
    """
    name = network_name(job_folder)
    # Without an address of this machine on it: an internal bridge alone still leads to its host.
    options = {"com.docker.network.bridge.inhibit_ipv4": "true"} if isolated else {}
    if interface:
        options["com.docker.network.container_iface_prefix"] = interface.removesuffix("0")
    try:
        network = client.networks.create(
            name,
            internal=isolated,
            options=options,
            labels=labels(job_folder),
        )
    except docker.errors.APIError as error:
        reason = error.explanation or str(error)
        raise RunnerError(
            f"The Docker engine makes no network for {len(hosts)} hosts: {reason}; see `docker network ls`."
        ) from None
    gateway = "" if isolated else gateway_of(network)
    return Network(hosts=hosts, key=name, gateway=gateway, close=lambda: remove_network(network))


def network_name(job_folder: Path) -> str:
    """The name of the network that a job of several hosts has; derived, so that it is found with no record of it."""
    return f"local_mode-{sha256(str(job_folder).encode()).hexdigest()[:12]}"


def labels(job_folder: Path) -> dict[str, str]:
    """By which a later run can tell whose a container or network is."""
    return {JOB_LABEL: str(job_folder), ROOT_LABEL: str(job_folder.parent.parent)}


def gateway_of(network: Any) -> str:
    """This machine's address on a bridge; empty when the engine does not tell.

    A new engine tells no gateway of its own bridge until it starts again; it takes the first address of the subnet.
    """
    for each in network.attrs.get("IPAM", {}).get("Config") or []:
        if "." in (gateway := each.get("Gateway", "")):
            return str(gateway).partition("/")[0]
        if not gateway and "." in (subnet := each.get("Subnet", "")):
            return str(ipaddress.IPv4Network(subnet, strict=False)[1])
    return ""


def remove_network(network: Any) -> None:
    """Remove a network that no container is in any more; one that is gone is fine."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            network.remove()
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError:
            # The engine lets go of a removed container's end a little later.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            continue
        return
