"""Vulnerabilities that an image may have for a while: a TOML file with the reason and the last day of each.

[[allowed]]
id = "CVE-2026-1234"
package = "zlib"          # left out: whatever package it is found in
reason = "only in minizip, which no image has"
until = 2026-12-31
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from scripts.publishing.errors import PublishError

PLACE = Path(__file__).resolve().parents[2] / "allowed_findings.toml"
"""What a push goes by, and what an audit of the locks goes by."""
_FIELDS = {"id": str, "reason": str, "until": date, "package": str}
_OPTIONAL = ("package",)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """One entry."""

    id: str
    reason: str
    until: date
    """The last day on which it holds."""
    package: str = ""
    """Empty for any."""

    def covers(self, vulnerability: str, package: str) -> bool:
        """Whether it is about this one."""
        return self.id == vulnerability and self.package in ("", package)


def read(path: Path, today: date) -> list[Allowance]:
    """The entries of a file.

    Raises:
        PublishError: the file is not there or malformed, or a day has passed.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PublishError(f"Cannot read the allowlist {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise PublishError(f"The allowlist {path} is not TOML: {error}") from None
    entries = document.pop("allowed", [])
    if document or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PublishError(f"The allowlist {path} has '{next(iter(document), 'allowed')}', but knows [[allowed]] only")
    allowed = [_entry(path, entry) for entry in entries]
    if past := [each for each in allowed if each.until < today]:
        lines = "; ".join(f"{each.id} until {each.until}: {each.reason}" for each in past)
        raise PublishError(
            f"In the allowlist {path} days have passed ({lines}); look at each again, then renew or remove it"
        )
    return allowed


def _entry(path: Path, entry: dict[str, Any]) -> Allowance:
    named = f"the entry '{entry.get('id', '?')}' of the allowlist {path}"
    if unknown := sorted(set(entry) - set(_FIELDS)):
        raise PublishError(f"{named} has '{unknown[0]}', which is none of {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        value = entry.get(name, "" if name in _OPTIONAL else None)
        if type(value) is not kind or (not value and name not in _OPTIONAL):
            wanted = "a day, as in 2026-12-31" if kind is date else "a text"
            raise PublishError(f"{named} has {name} = {value!r}, which is not {wanted}")
    return Allowance(**entry)
