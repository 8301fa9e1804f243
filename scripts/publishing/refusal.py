"""What a registry refuses, as its HTTP API or an engine tells it, told again with what is to be done."""

import re
from collections.abc import Callable

from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.target import Target

_Explain = Callable[[Target, str, str, re.Match[str]], PublishError]
"""Of a target, a tag, an engine's text and what was found in it."""


def refusal(target: Target, status: int, said: str) -> PublishError:
    """The error for an answer of the registry's: what is wrong, what it said, what to do."""
    registry = target.registry
    said = f"HTTP {status}{': ' if said else ''}{said}"
    if status == 401 and target.credentials:
        return PublishError(
            f"'{registry}' does not take the credentials of user '{target.credentials.user}' ({said}); log in anew"
        )
    if status == 401:
        return PublishError(
            f"'{registry}' asks for credentials ({said}), and there are none; run: docker login {registry}"
        )
    if status == 403:
        return PublishError(
            f"'{registry}' does not let this user at '{target.repository}' ({said}); ask its owner for the permission"
        )
    if status == 429 or status >= 500:
        return TransientError(f"'{registry}' fails ({said}); its own log tells more, a full disk is the usual reason")
    return PublishError(f"'{registry}' refuses the request for '{target.repository}' ({said})")


def explain(target: Target, tag: str, text: str) -> PublishError:
    """The error for what an engine says of an upload."""
    text = " ".join(text.split())
    for pattern, explanation in _CAUSES:
        if found := re.search(pattern, text, re.IGNORECASE):
            return explanation(target, tag, text, found)
    return PublishError(f"'{target.registry}' did not take '{target.tagged(tag)}' ({text}); its own log tells more")


def taken(target: Target, tag: str, why: str) -> PublishError:
    """The error where a tag names something else already."""
    return PublishError(
        f"'{target.tagged(tag)}' names another image already ({why}); a tag is not moved: "
        "pull that one, or commit and build anew"
    )


def _full(target: Target, tag: str, text: str, found: re.Match[str]) -> PublishError:
    return PublishError(
        f"The disk of '{target.registry}', or the engine's own, is full ({text}); make room, then push again"
    )


def _missing(target: Target, tag: str, text: str, found: re.Match[str]) -> PublishError:
    return PublishError(
        f"The permission {found[1]} is missing for '{target.repository}' at '{target.registry}' ({text}); "
        "have it added to this role's policy"
    )


def _distrusted(target: Target, tag: str, text: str, found: re.Match[str]) -> PublishError:
    return PublishError(
        f"The engine does not trust '{target.registry}' ({text}); give it the certificate in "
        f"/etc/docker/certs.d/{target.registry}/ca.crt, or name the registry in its insecure-registries"
    )


def _broken_off(target: Target, tag: str, text: str, found: re.Match[str]) -> PublishError:
    return TransientError(f"The upload to '{target.registry}' broke off ({text}); push again, what has arrived stays")


_CAUSES: tuple[tuple[str, _Explain], ...] = (
    (r"no space left|disk quota exceeded|insufficient storage|\b507\b", _full),
    (r"not authorized to perform: (\S+)", _missing),
    (
        r"unauthorized|authentication required|no basic auth credentials",
        lambda target, tag, text, found: refusal(target, 401, text),
    ),
    (
        r"(?:unexpected HTTP status: |error parsing HTTP )(\d{3})",
        lambda target, tag, text, found: refusal(target, int(found[1]), text),
    ),
    (r"\bdenied\b|forbidden", lambda target, tag, text, found: refusal(target, 403, text)),
    (r"\btag invalid\b|immutable", lambda target, tag, text, found: taken(target, tag, text)),
    (r"x509|certificate|HTTP response to HTTPS client", _distrusted),
    (
        r"\bEOF\b|connection re(?:set|fused)|broken pipe|time-?out|timed out|closed network connection|canceled|"
        r"blob upload (?:unknown|invalid)|too ?many ?requests|rate exceeded|network is unreachable",
        _broken_off,
    ),
    # What docker-registry says of every error of its own, and nothing else.
    (r"unknown error", lambda target, tag, text, found: refusal(target, 500, text)),
)
"""What is looked for in an engine's text, in this order."""
