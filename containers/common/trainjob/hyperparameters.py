"""Hyperparameters: strings of many senders, cast to the fields of the caller's dataclass, all mistakes told at once.

The same value arrives as `adam` or `"adam"`, `5` or `"5"`, `True` or `true`, depending on which SDK, estimator class or
tuner sent it; the type of the field decides what it means.
"""

import ast
import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from trainjob.contract import HP_TUNING_METRIC, RESERVED_HP_PREFIX
from trainjob.errors import HyperparameterError

DATASET = "dataset"
"""Read by `trainjob.launch`, which picks the program by it; a program need not declare it."""
PROCESSES = "processes_per_host"
"""Read by the launcher, too: ranks of a built-in program on each host, 0 for one to each GPU."""
MOST_PROCESSES = 64
"""Of a host; a slip of the pen is not to start thousands."""

T = TypeVar("T")

_TRUE, _FALSE, _NONE = ("true", "1"), ("false", "0"), ("null", "none")
"""Compared in lower case."""


def parse(cls: type[T], raw: Mapping[str, str]) -> T:
    """An instance of the dataclass `cls` with the values of `raw`; names match with `-` for `_` too.

    Fields may be int, float, bool, str, Literal, Optional, list or tuple of these. Reserved names are ignored.

    Raises:
        HyperparameterError: Names every unknown, malformed, missing or out-of-range value.
    """
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    declared = typing.get_type_hints(cls)
    problems: list[str] = []
    values: dict[str, Any] = {}
    given = _by_field(raw, fields, problems)
    misnamed = len(problems)
    for name, (key, text) in given.items():
        try:
            values[name] = _convert(declared[name], text)
        except ValueError as error:
            problems.append(f"'{key}' is '{_shown(text)}', which is not {error}")
    problems += [
        f"'{name}' is missing and has no default"
        for name, item in fields.items()
        if name not in given and item.default is item.default_factory is dataclasses.MISSING
    ]
    # A range is checked only when every value could be read: a default in place of a bad one may not suit the others.
    if len(problems) == misnamed:
        try:
            instance = cls(**values)
        except ValueError as error:
            problems.append(str(error).rstrip("."))
        else:
            if not problems:
                return instance
    raise HyperparameterError(f"Hyperparameters: {'; '.join(problems)}. Known names: {', '.join(sorted(fields))}.")


def resolved(instance: object) -> dict[str, object]:
    """Every field with its value in force, as JSON can hold it; what is written beside a model."""
    values = dataclasses.asdict(instance)  # type: ignore[call-overload]
    result: dict[str, object] = json.loads(json.dumps(values, default=str))
    return result


def is_reserved(name: str) -> bool:
    """Whether a hyperparameter belongs to the platform or an SDK and never to a program."""
    return name.startswith(RESERVED_HP_PREFIX) or name == HP_TUNING_METRIC


def plain(text: str) -> str:
    """A string value without the JSON quotes some senders put around it."""
    value = decode(text)
    return value if isinstance(value, str) else text


def decode(text: str) -> object:
    """The JSON value `text` stands for, or `text` itself where it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _by_field(raw: Mapping[str, str], fields: Mapping[str, object], problems: list[str]) -> dict[str, tuple[str, str]]:
    given: dict[str, tuple[str, str]] = {}
    for key, text in raw.items():
        name = key.replace("-", "_")
        if name in given:
            problems.append(f"'{key}' and '{given[name][0]}' are the same; give one of them")
        elif name in fields:
            given[name] = (key, text)
        elif not is_reserved(key) and name != DATASET:
            nearest = difflib.get_close_matches(name, fields, n=1)
            hint = f" (did you mean '{nearest[0]}'?)" if nearest else ""
            problems.append(f"'{key}' (value '{_shown(text)}') is unknown{hint}")
    return given


def _shown(text: str) -> str:
    # A value may have 2,500 characters; the whole message has 1,024 in the failure reason.
    return text if len(text) <= 80 else f"{text[:77]}..."


def _convert(kind: Any, text: str) -> Any:
    """The value of `text` as a `kind`; a ValueError's text completes "which is not ..."."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind](plain(text))
    if origin is Literal:
        return _one_of(arguments, text)
    if origin in (Union, types.UnionType):
        return _first_that_fits(arguments, text)
    if origin in (list, tuple):
        return _sequence(origin, arguments, text)
    raise TypeError(f"a hyperparameter's field cannot be declared as {kind}")


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number.is_integer():  # some senders write 5 as 5.0
        raise ValueError("a whole number")
    return int(number)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a finite number")
    return number


def _boolean(text: str) -> bool:
    if text.strip().lower() in _TRUE:
        return True
    if text.strip().lower() in _FALSE:
        return False
    raise ValueError("true or false")


_SCALARS: dict[Any, Any] = {int: _integer, float: _number, bool: _boolean, str: str}


def _one_of(options: tuple[Any, ...], text: str) -> Any:
    for option in options:
        try:
            if _convert(type(option), text) == option:
                return option
        except ValueError:
            continue
    raise ValueError(f"one of {', '.join(map(str, options))}")


def _first_that_fits(kinds: tuple[Any, ...], text: str) -> Any:
    if types.NoneType in kinds and plain(text).strip().lower() in _NONE:
        return None
    reasons = []
    for kind in kinds:
        if kind is not types.NoneType:
            try:
                return _convert(kind, text)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError(" or ".join(reasons))


def _sequence(origin: Any, arguments: tuple[Any, ...], text: str) -> Any:
    try:
        items = ast.literal_eval(plain(text).strip())  # reads JSON's [1, 2] and Python's ['a', 'b'] alike
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        items = decode(plain(text))  # true, false and null are JSON alone
    kinds = arguments[:1] * len(items) if isinstance(items, list | tuple) else ()
    if origin is tuple and arguments[-1] is not Ellipsis:
        kinds = arguments
    if not isinstance(items, list | tuple) or len(items) != len(kinds):
        count = f" of {len(arguments)} values" if origin is tuple and arguments[-1] is not Ellipsis else ""
        raise ValueError(f"a list{count} such as [1, 2]")
    texts = [item if isinstance(item, str) else json.dumps(item, default=str) for item in items]
    try:
        return origin(_convert(kind, item) for kind, item in zip(kinds, texts, strict=True))
    except ValueError as error:
        raise ValueError(f"a list in which every value is {error}") from None
