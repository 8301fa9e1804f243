"""What code is printed with: calls and literals over several lines, and the job's name made anew in each run."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.submitting.errors import SubmitError

_STAMP = re.compile(r"(.+)-\d{8}-\d{6}")
_INDENT = "    "


@dataclass(frozen=True, kw_only=True)
class Name:
    """A job's name in printed code: a constant NAME, so that the code can be run again and again."""

    whole: str
    """As the request has it."""
    base: str
    """Without the time, where it ends in one."""

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> "Name":
        """The name of a request's job."""
        whole = request["TrainingJobName"]
        stamped = _STAMP.fullmatch(whole)
        return cls(whole=whole, base=stamped[1] if stamped else whole)

    @property
    def assignment(self) -> str:
        """The line that sets NAME; a name that the person chose stays as it is."""
        if self.base == self.whole:
            return f"NAME = {quoted(self.whole)}"
        return f'NAME = time.strftime("{self.base}-%Y%m%d-%H%M%S", time.gmtime())'

    def text(self, value: str) -> str:
        """A string's literal, in which the name is NAME."""
        if self.whole not in value or "{" in value or "}" in value:
            return quoted(value)
        return f"f{quoted(value.replace(self.whole, '{NAME}'))}"


def quoted(text: str) -> str:
    """A string's literal in double quotes, as formatters have it, unless it holds quotes itself."""
    plain = repr(text)
    return plain if '"' in text or "'" in text else f'"{plain[1:-1]}"'


def literal(value: Any, name: Name, depth: int = 0) -> str:
    """A value of a request as Python, over several lines where it has several parts."""
    if isinstance(value, dict) and value:
        return lines(
            "{", (f"{quoted(key)}: {literal(item, name, depth + 1)}" for key, item in value.items()), "}", depth
        )
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return lines("[", (literal(item, name, depth + 1) for item in value), "]", depth)
    if isinstance(value, list):
        return f"[{', '.join(literal(item, name, depth) for item in value)}]"
    return name.text(value) if isinstance(value, str) else repr(value)


def call(function: str, arguments: Mapping[str, str], depth: int = 0) -> str:
    """A call with one keyword argument a line; those are code already."""
    return lines(f"{function}(", (f"{key}={value}" for key, value in arguments.items()), ")", depth)


def lines(start: str, parts: Iterable[str], end: str, depth: int) -> str:
    """Parts between brackets, a line each."""
    inner = "".join(f"{_INDENT * (depth + 1)}{part},\n" for part in parts)
    return f"{start}\n{inner}{_INDENT * depth}{end}"


def leaves(value: Mapping[str, Any], within: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    """Fields of a request by path, inner ones in place of those that a path of `within` goes through."""
    for key, item in value.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(item, dict) and any(known.startswith(f"{inner}.") for known in within):
            yield from leaves(item, within, inner)
        else:
            yield inner, item


def refuse(paths: Iterable[str], what: str) -> None:
    """Raises SubmitError if there are fields that an SDK cannot say."""
    if unknown := sorted(paths):
        raise SubmitError(
            f"{what} has no way to say {', '.join(unknown)}; leave that out, or submit the request itself, without --as"
        )
