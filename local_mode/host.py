"""Whether this machine can run jobs; standard library only, so that it is told before anything is installed."""

import platform

from local_mode.errors import HostError


def check() -> None:
    """Refuses a machine whose containers and wheels are others than those of a training instance.

    Raises:
        HostError: It is not Linux on x86-64.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) not in (("Linux", "x86_64"), ("Linux", "AMD64")):
        raise HostError(
            f"local_mode runs on Linux x86-64; this is {system} {machine}. Run it in Docker, in a linux/amd64 "
            "container, or on a Linux machine (WSL2 is one)."
        )
