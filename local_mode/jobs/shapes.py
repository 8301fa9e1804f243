"""Reads JSON into frozen dataclasses whose fields are named as in the API, and says all that is wrong with it.

Nothing here knows CreateTrainingJob: `request` declares that with the fields below.
"""

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

T = TypeVar("T")
_SHOWN = 80
"""Characters of a bad value that an error repeats."""
_KINDS = {str: "a string", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the API allows of a field."""

    pattern: str | None = None
    """Must match the whole text."""
    choices: tuple[str, ...] = ()
    least: int | None = None
    """Of a number; of the length of a text or list."""
    most: int | None = None
    """Of a number; of the length of a text, list or map."""
    key_most: int | None = None
    """Of the length of a map's keys."""
    value_most: int | None = None
    """Of the length of a map's values, or of a list's texts."""
    later: str | None = None
    """What local_mode would have to do for this field, and does not yet."""
    recorded: bool = False
    """Kept in the record, of no effect on this machine."""
    usual: bool = False
    """That a recorded field is in every request, so that nobody needs to be told of it."""
    because: str = "CreateTrainingJob requires it"
    """Why a required field cannot be left out."""


def required(**limits: Any) -> Any:
    """A field the API insists on."""
    return dataclasses.field(metadata={"limits": Limits(**limits)})


def optional(default: Any = None, **limits: Any) -> Any:
    """A field with a default; None when the API documents none."""
    return dataclasses.field(default=default, metadata={"limits": Limits(**limits)})


def later(what: str) -> Any:
    """A field of the API that local_mode does not honour yet, and refuses."""
    return optional(None, later=what)


def recorded() -> Any:
    """A field of the API that is kept and has no effect on this machine."""
    return optional(None, recorded=True)


def read(shape: type[T], document: Any, where: str, problems: list[str]) -> T | None:
    """An instance of the dataclass `shape`; None, and what is wrong added to `problems`, when it cannot be."""
    if not isinstance(document, dict):
        problems.append(f"{where or 'The request'} is {_shown(document)}; it must be an object.")
        return None
    before = len(problems)
    fields = {field.name: field for field in dataclasses.fields(shape)}  # type: ignore[arg-type]
    problems.extend(_unknown(key, fields, where) for key in document if key not in fields)
    hints = typing.get_type_hints(shape)
    values = {}
    for name, field in fields.items():
        path = f"{where}.{name}" if where else name
        limits: Limits = field.metadata["limits"]
        if document.get(name) is None:
            if field.default is MISSING:
                problems.append(f"{path} is missing; {limits.because}.")
        elif limits.later:
            problems.append(f"local_mode does not {limits.later} yet; remove {path}.")
        else:
            values[name] = _value(hints[name], document[name], path, limits, problems)
    return shape(**values) if len(problems) == before else None


def write(instance: Any) -> dict[str, Any]:
    """The JSON of a dataclass, without the fields that are not set."""
    fields = ((field.name, getattr(instance, field.name)) for field in dataclasses.fields(instance))
    return {name: _json(value) for name, value in fields if value is not None and value != ()}


def recorded_only(instance: Any) -> list[str]:
    """Names of the fields that are set and have no effect on this machine, but for usual ones; of inner shapes too."""
    names = []
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            names += recorded_only(value)
        elif value is not None and field.metadata["limits"].recorded and not field.metadata["limits"].usual:
            names.append(field.name)
    return names


def _value(hint: Any, value: Any, path: str, limits: Limits, problems: list[str]) -> Any:
    hint = _without_none(hint)
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, path, problems)
    if origin is tuple:
        return _list(typing.get_args(hint)[0], value, path, limits, problems)
    if origin is Mapping:
        return _map(value, path, limits, problems)
    if type(value) is not hint:  # exactly: True is not a number here
        problems.append(f"{path} is {_shown(value)}; it must be {_KINDS[hint]}.")
        return None
    size, unit = (value, "") if hint is int else (len(value) if hint is str else 0, " characters")
    wrong_size = _out_of_range(path, size, unit, value, limits)
    problems.extend(wrong_size)
    if limits.choices and value not in limits.choices:
        problems.append(f"{path} is {_shown(value)}; it must be one of {', '.join(limits.choices)}.")
    if limits.pattern and not wrong_size and not re.fullmatch(limits.pattern, value):
        problems.append(f"{path} is {_shown(value)}; it must match {limits.pattern}.")
    return value


def _list(item: Any, value: Any, path: str, limits: Limits, problems: list[str]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        problems.append(f"{path} is {_shown(value)}; it must be a list.")
        return ()
    problems.extend(_out_of_range(path, len(value), " entries", value, limits))
    inner = Limits(most=limits.value_most)
    return tuple(_value(item, entry, f"{path}[{index}]", inner, problems) for index, entry in enumerate(value))


def _map(value: Any, path: str, limits: Limits, problems: list[str]) -> dict[str, str]:
    if not isinstance(value, dict):
        problems.append(f"{path} is {_shown(value)}; it must be an object of strings.")
        return {}
    problems.extend(_out_of_range(path, len(value), " entries", value, limits))
    for key, entry in value.items():
        if not isinstance(entry, str):
            problems.append(f"{path}[{key!r}] is {_shown(entry)}; values are strings: write {_quoted(entry)}.")
        elif limits.value_most is not None and len(entry) > limits.value_most:
            problems.append(f"{path}[{key!r}] has {len(entry)} characters; at most {limits.value_most} are allowed.")
        if limits.key_most is not None and len(key) > limits.key_most:
            problems.append(f"{path} has a key of {len(key)} characters; at most {limits.key_most} are allowed.")
        if limits.pattern and not re.fullmatch(limits.pattern, key):
            problems.append(f"{path} has the key {key!r}; it must match {limits.pattern}.")
    return value


def _out_of_range(path: str, size: int, unit: str, value: Any, limits: Limits) -> list[str]:
    least, most = limits.least, limits.most
    if (least is None or size >= least) and (most is None or size <= most):
        return []
    allowed = f"{'any' if least is None else least} to {'any' if most is None else most}"
    seen = f"has {size}{unit}" if unit else f"is {_shown(value)}"
    return [f"{path} {seen}; it must be in the range {allowed}."]


def _unknown(key: str, fields: Mapping[str, Any], where: str) -> str:
    near = difflib.get_close_matches(key, fields, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(fields))}."
    return f"{where or 'The request'} has the unknown field {key!r}; {hint}"


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return write(value)
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _quoted(value: Any) -> str:
    return json.dumps(json.dumps(value))
