"""The proxy's address as HTTPS_PROXY has it: with the password, and with the proxy that a shell had before."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

USER = "local_mode"


@dataclass(frozen=True, kw_only=True)
class Address:
    """The proxy as a client is told of it."""

    endpoint: str
    """The endpoint's URL."""
    password: str

    def url(self, upstream: str) -> str:
        """For HTTPS_PROXY; it also tells the proxy what to go through on the way out, empty for nothing."""
        after = f".{urlsafe_b64encode(upstream.encode()).decode().rstrip('=')}" if upstream else ""
        return f"http://{USER}{after}:{quote(self.password)}@{urlsplit(self.endpoint).netloc}"


def before(url: str) -> str:
    """The proxy that a shell had before it had ours; its own if `url` is not one of ours."""
    try:
        user = urlsplit(url).username or ""
    except ValueError:
        return url  # whoever goes through it is told so
    found = upstream_of(user)
    return url if found is None else found


def upstream_of(user: str) -> str | None:
    """What follows the dot in a user name of ours; None for other names."""
    name, _, coded = user.partition(".")
    if name != USER:
        return None
    try:
        return urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except ValueError:
        return None
