"""A request checked against SageMaker's own service model, as botocore ships it: names, types, choices and ranges.

Patterns are left to the service, which refuses before anything is started.
"""

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.session import Session

from scripts.submitting.errors import SubmitError

TRAINING = "CreateTrainingJob"
_SHOWN = 60
"""Characters of a bad value that an error repeats."""
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "integer": ((int,), "a whole number"),
    "long": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "structure": ((dict,), "a map of fields"),
    "map": ((dict,), "a map"),
    "list": ((list,), "a list"),
}


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """What a document is held against."""

    operation: str
    whole: bool


def check(document: Mapping[str, Any], *, whole: bool, operation: str = TRAINING) -> None:
    """Refuses what the service model does not allow.

    Args:
        document: the request.
        whole: that nothing is filled in any more, so that a missing field is wrong, too.
        operation: whose request it is.

    Raises:
        SubmitError: Everything that is wrong, a line each.
    """
    problems = list(_structure(shape(operation), document, "", _Rules(operation=operation, whole=whole)))
    if problems:
        raise SubmitError("\n".join(problems))


@functools.cache
def shape(operation: str = TRAINING) -> Any:
    """The request of an operation, as botocore describes it."""
    return Session().get_service_model("sagemaker").operation_model(operation).input_shape


def _value(kind: Any, value: Any, path: str, rules: _Rules) -> Iterator[str]:
    types, name = _TYPES[kind.type_name]
    # True is an int in Python, and no number here.
    if not isinstance(value, types) or (isinstance(value, bool) and kind.type_name != "boolean"):
        yield f"{path} is {_shown(value)}; it must be {name}{_instead(kind, value)}"
        return
    yield from _limits(kind, value, path)
    if kind.type_name == "structure":
        yield from _structure(kind, value, path, rules)
    elif kind.type_name == "list":
        for index, item in enumerate(value):
            yield from _value(kind.member, item, f"{path}[{index}]", rules)
    elif kind.type_name == "map":
        for key, item in value.items():
            yield from _value(kind.key, key, f"the key {key!r} of {path}", rules)
            yield from _value(kind.value, item, f"{path}.{key}", rules)


def _structure(kind: Any, document: Mapping[str, Any], path: str, rules: _Rules) -> Iterator[str]:
    for name, value in document.items():
        if name in kind.members:
            yield from _value(kind.members[name], value, _joined(path, name), rules)
        else:
            yield f"{path or 'The request'} has no field {name!r}; {_hint(name, kind, path, rules)}"
    if rules.whole:
        missing = [name for name in kind.required_members if name not in document]
        yield from (f"{_joined(path, name)} is missing; {rules.operation} requires it" for name in missing)


def _hint(name: Any, kind: Any, path: str, rules: _Rules) -> str:
    """The nearest name: here, or where else in a request a field of just that name is."""
    by_lower = {member.lower(): member for member in kind.members}
    if near := difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.75):
        return f"did you mean {by_lower[near[0]]}?"
    if places := [place for place in _places(shape(rules.operation), "") if place.rpartition(".")[2] == name]:
        return f"it is a field of {min(places, key=len).rpartition('.')[0] or 'the request itself'}"
    return f"{path or 'a request'} can have: {', '.join(sorted(kind.members))}"


def _places(kind: Any, path: str) -> Iterator[str]:
    if kind.type_name == "structure":
        for name, member in kind.members.items():
            yield _joined(path, name)
            yield from _places(member, _joined(path, name))
    elif kind.type_name == "list":
        yield from _places(kind.member, f"{path}[]")


def _limits(kind: Any, value: Any, path: str) -> Iterator[str]:
    choices = kind.metadata.get("enum")
    if choices and value not in choices:
        by_lower = {choice.lower(): choice for choice in choices}
        near = difflib.get_close_matches(value.lower(), by_lower, n=1)
        hint = f"did you mean {by_lower[near[0]]}?" if near else f"it can be: {', '.join(choices)}"
        yield f"{path} is {_shown(value)}; {hint}"
    sized = isinstance(value, str | list | dict)
    size = len(value) if sized else value
    least, most = kind.metadata.get("min"), kind.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        seen = f"has {size:,} characters or entries" if sized else f"is {value}"
        bounds = f"{'any' if least is None else least} to {'any' if most is None else most}"
        yield f"{path} {seen}; it must be {bounds}"


def _instead(kind: Any, value: Any) -> str:
    if kind.type_name == "string" and not isinstance(value, dict | list):
        return f": write '{value}', in quotes"
    return ""


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
