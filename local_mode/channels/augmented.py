"""An augmented manifest: JSON Lines, of which some attributes become what is streamed. Standard library only."""

import io
import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.channels.inflate import measured
from local_mode.channels.objects import ObjectError, Readable

REFERENCE_SUFFIX = "-ref"
"""Ends the name of an attribute whose value is a URI: the object's bytes are streamed in its place."""


@dataclass(frozen=True)
class Reference:
    """An object that a line refers to."""

    uri: str
    where: str
    """The line and attribute, for errors."""


class AugmentedManifest:
    """The lines of one manifest, as they were when it was opened. Only where they begin is held in memory."""

    def __init__(self, stream: Readable, name: str, attributes: tuple[str, ...], scratch: Path) -> None:
        """Read it through once; a long one is kept in a file without a name in `scratch`."""
        self._name, self._attributes = name, attributes
        spool, _ = measured(stream, scratch)
        self._text = io.BufferedReader(spool) if isinstance(spool, io.FileIO) else spool
        self._starts, self._numbers = array("Q"), array("Q")
        start = 0
        for number, line in enumerate(self._text, 1):
            if not line.isspace():
                self._starts.append(start)
                self._numbers.append(number)
            start += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def entry(self, index: int) -> list[bytes | Reference]:
        """What a line gives for each attribute in turn; blank lines are not counted.

        Raises:
            ObjectError: it is no JSON object, lacks an attribute, or refers to what is no URI.
        """
        self._text.seek(self._starts[index])
        try:
            line = json.loads(
                self._text.readline().decode(), parse_int=_Literal, parse_float=_Literal, parse_constant=_Literal
            )
            if not isinstance(line, dict):
                raise ObjectError(f"{self._where(index)} is not a JSON object; an augmented manifest has one a line.")
            return [self._value(line, name, index) for name in self._attributes]
        except (ValueError, RecursionError) as error:
            raise ObjectError(
                f"{self._where(index)} is not JSON: {error}; an augmented manifest has one object a line."
            ) from None

    def _value(self, line: dict[str, Any], name: str, index: int) -> bytes | Reference:
        if name not in line:
            known = ", ".join(repr(key) for key in line) or "none"
            raise ObjectError(
                f"{self._where(index)} has no attribute {name!r}, which AttributeNames asks for; it has {known}."
            )
        value = line[name]
        if not name.endswith(REFERENCE_SUFFIX):
            text = value if isinstance(value, str) else _compact(value)
            return text.encode("utf-8", "surrogatepass")
        if type(value) is not str:
            raise ObjectError(f"{self._where(index)}: {name!r} is {_compact(value)}; it must be an object's URI.")
        return Reference(value, f"{self._where(index)}, attribute {name!r}")

    def _where(self, index: int) -> str:
        return f"{self._name}, line {self._numbers[index]}"


class _Literal(str):
    """A number as the manifest writes it: 1.50 stays 1.50, however large or precise."""

    __slots__ = ()


def _compact(value: Any) -> str:
    """JSON without a space; the service's own spacing is documented nowhere."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(key)}:{_compact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return value if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)
