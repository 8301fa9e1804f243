"""Who may see the page: a browser that was brought in by a link that the owner of the endpoint's key made.

A browser cannot sign requests. So a link is signed with the key, and is good for an hour; whoever follows it is given a
cookie, signed with the key as well. Nothing is kept here: both hold when the endpoint is started again, and neither
does when the key is another.
"""

import hmac
from hashlib import sha256

LINK_SECONDS = 3600
SESSION_SECONDS = 30 * 86400
COOKIE = "local_mode_session"


def link(url: str, secret: str, now: float) -> str:
    """What to open in a browser to see the page of the endpoint at `url`."""
    return f"{url}/?token={_seal('link', secret, int(now) + LINK_SECONDS)}"


def is_link(token: str, secret: str, now: float) -> bool:
    """Whether a link's token is one of ours, and still good."""
    return _is_sealed("link", token, secret, now)


def session(secret: str, now: float) -> str:
    """The cookie of a browser that came by a link."""
    return _seal("session", secret, int(now) + SESSION_SECONDS)


def is_session(cookie: str, secret: str, now: float) -> bool:
    """Whether a cookie is one of ours, and still good."""
    return _is_sealed("session", cookie, secret, now)


def _seal(purpose: str, secret: str, until: int) -> str:
    digest = hmac.new(secret.encode(), f"local_mode page {purpose} {until}".encode(), sha256).hexdigest()
    return f"{until}.{digest}"


def _is_sealed(purpose: str, text: str, secret: str, now: float) -> bool:
    until, _, _ = text.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 16) or int(until) < now:
        return False
    return hmac.compare_digest(text.encode(), _seal(purpose, secret, int(until)).encode())
