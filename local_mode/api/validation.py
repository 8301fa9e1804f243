"""Checks requests against SageMaker's own service model, as botocore ships it, and says what is wrong as AWS does."""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.session import Session

from local_mode.api.wire import ApiError

_LOCAL_URI = re.compile(r"file:///.*", re.DOTALL)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a String"),
    "integer": ((int,), "an Integer"),
    "long": ((int,), "a Long"),
    "float": ((int, float), "a Float"),
    "double": ((int, float), "a Double"),
    "boolean": ((bool,), "a Boolean"),
    "timestamp": ((int, float), "a Timestamp"),
    "structure": ((dict,), "a structure"),
    "map": ((dict,), "a map"),
    "list": ((list,), "a list"),
}
_NAMES = {str: "STRING_VALUE", bool: "BOOLEAN_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE",
          dict: "OBJECT_VALUE", list: "ARRAY_VALUE"}  # fmt: skip


_JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{Z}": " \u00a0", r"\p{N}": r"\d", r"\p{Alnum}": "a-zA-Z0-9"}
"""The model's patterns are Java's; these are the classes that Python does not know by name."""


def check(operation: str, document: dict[str, Any], service: str = "sagemaker") -> None:
    """Refuse what the service model does not allow; members it does not know are not looked at.

    Raises:
        ApiError: ValidationException with every problem, or SerializationException for the first wrong type.
    """
    shape = _model(service).operation_model(operation).input_shape
    problems = list(_structure(shape, document, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
        raise ApiError("ValidationException", f"{count}: {'; '.join(problems)}")


def has_operation(name: str) -> bool:
    """Whether SageMaker has an operation of this name."""
    return name in _model().operation_names


def answered(operation: str, document: dict[str, Any]) -> dict[str, Any]:
    """Those members of `document` that the operation's answer has."""
    members = _model().operation_model(operation).output_shape.members
    return {name: value for name, value in document.items() if name in members}


@functools.cache
def members(shape: str) -> frozenset[str]:
    """The names of a structure's members."""
    return frozenset(_model().shape_for(shape).members)


@functools.cache
def _model(service: str = "sagemaker") -> Any:
    return Session().get_service_model(service)


def _value(shape: Any, value: Any, path: str) -> Iterator[str]:
    _check_type(shape, value)
    if shape.type_name == "structure":
        yield from _structure(shape, value, path)
        return
    for constraint in _broken(shape, value):
        yield _problem(value, path, constraint)
    if shape.type_name == "list":
        for index, item in enumerate(value, 1):
            yield from _value(shape.member, item, f"{path}.{index}.member")
    elif shape.type_name == "map":
        yield from _map(shape, value, path)


def _structure(shape: Any, document: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        where = f"{path}.{_lower(name)}" if path else _lower(name)
        if document.get(name) is not None:
            yield from _value(member, document[name], where)
        elif name in shape.required_members:
            yield _problem(None, where, "Member must not be null")


def _map(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for part, inner, items in (("keys", shape.key, value.keys()), ("value", shape.value, value.values())):
        for item in items:
            _check_type(inner, item)
            if any(_broken(inner, item)):
                # AWS lists all that a key or value must satisfy, not only what this one does not.
                yield _problem(value, path, f"Map {part} must satisfy constraint: [{', '.join(_rules(inner))}]")
                break


def _broken(shape: Any, value: Any) -> Iterator[str]:
    """The constraints that a value breaks, each in AWS's words."""
    limits = shape.metadata
    size = len(value) if isinstance(value, str | list | dict) else value
    holds: dict[str, Callable[[], bool]] = {
        "min": lambda: size >= limits["min"],
        "max": lambda: size <= limits["max"],
        "enum": lambda: value in limits["enum"],
        "pattern": lambda: _matches(shape, value),
    }
    yield from (text for key, text in _constraints(shape) if not holds[key]())


def _rules(shape: Any) -> list[str]:
    return [text for _, text in _constraints(shape)]


def _constraints(shape: Any) -> Iterator[tuple[str, str]]:
    limits = shape.metadata
    what = "length" if shape.type_name in ("string", "list", "map") else "value"
    if "max" in limits:
        yield "max", f"Member must have {what} less than or equal to {limits['max']}"
    if "min" in limits:
        yield "min", f"Member must have {what} greater than or equal to {limits['min']}"
    if "enum" in limits:
        yield "enum", f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
    if "pattern" in limits:
        yield "pattern", f"Member must satisfy regular expression pattern: {limits['pattern']}"


def _matches(shape: Any, value: str) -> bool:
    pattern = shape.metadata["pattern"]
    if "s3" in pattern and _LOCAL_URI.fullmatch(value):
        return True  # a place on this machine, which only local_mode has
    return bool(_compiled(pattern).fullmatch(value))


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def _check_type(shape: Any, value: Any) -> None:
    types, name = _KINDS.get(shape.type_name, ((object,), ""))
    # True is an int in Python, and no number on the wire.
    if not isinstance(value, types) or (isinstance(value, bool) and shape.type_name != "boolean"):
        got = _NAMES.get(type(value), "NULL_VALUE")
        raise ApiError("SerializationException", f"{got} can not be converted to {name}")


def _problem(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}={_shown(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
