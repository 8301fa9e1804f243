"""Where the endpoint listens, and by which names it may be called there: loopback, unless told otherwise twice."""

import ipaddress
import re
from dataclasses import dataclass

from local_mode.api.hosts import normal
from local_mode.errors import LocalModeError

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
"""Names a client may call this machine by. A page that had its own name point here would call it by that one."""
_NAME = re.compile(r"(?!-)[a-z0-9-]+(?:\.[a-z0-9-]+)*")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Who can get as far as the endpoint; the key is asked for in any case."""

    address: str = LOOPBACK
    """IPv4, of this machine; 0.0.0.0 for all of them."""
    names: tuple[str, ...] = ()
    """More that clients call this machine by, names or addresses."""
    exposed: bool = False
    """Whether other machines are meant to get here."""

    def __post_init__(self) -> None:
        try:
            place = ipaddress.IPv4Address(self.address)
        except ValueError:
            text = f"--address is {self.address!r}; give an IPv4 address of this machine, or 0.0.0.0 for all it has."
            raise LocalModeError(text) from None
        for name in self.names:
            if not _NAME.fullmatch(normal(name)):
                raise LocalModeError(f"--name is {name!r}; give a name or address alone, with no port.")
        if not place.is_loopback and not self.exposed:
            raise LocalModeError(
                f"--address is {self.address}, where other machines get to: whoever has the key runs programs here, "
                "and nothing is encrypted. Add --exposed if that is meant, or leave the endpoint on loopback."
            )
        if place.is_unspecified and not self.names:
            raise LocalModeError(
                f"--address is {self.address}, and no --name says by which name or address others call this machine; "
                "requests by any other are refused."
            )

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request's Host may be; nothing else, as a page can have any name of its own point here."""
        own = HOSTS if self.address in (LOOPBACK, "0.0.0.0") else (self.address,)  # noqa: S104  # compared, not bound
        return tuple(dict.fromkeys((*own, *map(normal, self.names))))

    @property
    def host(self) -> str:
        """By which this machine itself calls it."""
        return self.hosts[0]

    @property
    def warning(self) -> str:
        """What whoever serves must know; empty on loopback."""
        if ipaddress.IPv4Address(self.address).is_loopback:
            return ""
        return (
            f"WARNING: the endpoint listens on {self.address}, for other machines. Whoever has the key of this folder "
            "can run programs and containers here, with the rights of this user. Nothing is encrypted: data, logs and "
            "the page's cookie can be read, and the cookie used, by whoever listens on the network."
        )


ON_LOOPBACK = Reach()


def check_registry(place: str) -> None:
    """See that a registry, HOST:PORT, is one of this machine, where it may do without TLS.

    Raises:
        LocalModeError: it is not.
    """
    host = place.rpartition(":")[0]
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise LocalModeError(f"--registry is {place!r}; give one of this machine, as in localhost:5000.")
