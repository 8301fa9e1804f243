"""SageMaker's Search, on documents: filters by property, and an order."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from local_mode.errors import LocalModeError

Document = dict[str, Any]
Values = dict[str, list[Any]]
_STATISTICS = ("Min", "Max", "Avg", "StdDev", "Last", "Count")


def flatten(document: Document) -> Values:
    """Values by property, as SearchExpression names it, in lower case: members by dots, lists by any of their items."""
    values: Values = {}
    for path, value in _pairs("", document):
        values.setdefault(path.lower(), []).append(value)
    return values


def matches(expression: Document, document: Document) -> bool:
    """Whether a document is what a SearchExpression asks for.

    Raises:
        LocalModeError: a filter cannot be understood.
    """
    values = flatten(document)
    found = [_holds(each, values) for each in expression.get("Filters") or ()]
    found += [_nested(each, document) for each in expression.get("NestedFilters") or ()]
    found += [matches(each, document) for each in expression.get("SubExpressions") or ()]
    return any(found) if expression.get("Operator") == "Or" and found else all(found)


def names(expression: Document) -> Iterator[str]:
    """The properties that an expression names."""
    for each in (*(expression.get("Filters") or ()), *(expression.get("NestedFilters") or ())):
        yield each.get("Name") or each["NestedPropertyName"]
    for inner in expression.get("SubExpressions") or ():
        yield from names(inner)


def ordered(documents: list[Document], by: str, *, backwards: bool) -> list[Document]:
    """Documents in the order of a property; those that lack it come last."""
    keyed = [(flatten(document).get(by.lower(), [None])[0], document) for document in documents]
    there = sorted((pair for pair in keyed if pair[0] is not None), key=lambda pair: _key(pair[0]), reverse=backwards)
    return [document for _, document in [*there, *(pair for pair in keyed if pair[0] is None)]]


def _pairs(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if set(value) <= {"NumberValue", "StringValue"}:  # a trial component's parameter goes by its own name
            yield from ((path, inner) for inner in value.values())
        for name, inner in value.items():
            yield from _pairs(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _item(path, inner)
    else:
        yield path, value


def _item(path: str, item: Any) -> Iterator[tuple[str, Any]]:
    """An item of a list; tags and metrics go by their names."""
    if isinstance(item, dict) and set(item) == {"Key", "Value"}:
        yield f"{path}.{item['Key']}", item["Value"]
    elif isinstance(item, dict) and "MetricName" in item:
        name = item["MetricName"]
        if "Value" in item:
            yield f"Metrics.{name}", item["Value"]
        yield from ((f"Metrics.{name}.{key}", item[key]) for key in _STATISTICS if key in item)
    else:
        yield from _pairs(path, item)


def _nested(nested: Document, document: Document) -> bool:
    """Whether one item of a list is all that is asked for."""
    path = nested["NestedPropertyName"]
    items: Any = document
    for name in path.split("."):
        items = items.get(name) if isinstance(items, dict) else None
    inside = [flatten({path: item}) for item in items] if isinstance(items, list) else []
    return any(all(_holds(each, values) for each in nested["Filters"]) for values in inside)


def _holds(condition: Document, values: Values) -> bool:
    found, wanted = values.get(condition["Name"].lower(), []), condition.get("Value")
    operator = str(condition.get("Operator", "Equals"))
    if operator in ("Exists", "NotExists"):
        return bool(found) == (operator == "Exists")
    if wanted is None:
        raise LocalModeError(f"Filter on {condition['Name']}: {operator} needs a Value.")
    if operator == "NotEquals":
        return not any(_equal(value, wanted) for value in found)
    if operator == "Equals":
        return any(_equal(value, wanted) for value in found)
    if operator == "In":
        return any(_equal(value, one.strip()) for value in found for one in wanted.split(","))
    if operator == "Contains":
        return any(wanted.lower() in str(value).lower() for value in found)
    return any(_compare(operator, value, wanted) for value in found)


def _equal(value: Any, wanted: str) -> bool:
    if str(value) == wanted:
        return True
    number = _number(wanted)
    return isinstance(value, int | float) and number is not None and float(value) == number


def _compare(operator: str, value: Any, wanted: str) -> bool:
    limit = _number(wanted)
    left = _number(str(value))
    if limit is None or left is None:
        return False
    holds: dict[str, bool] = {
        "GreaterThan": left > limit,
        "GreaterThanOrEqualTo": left >= limit,
        "LessThan": left < limit,
        "LessThanOrEqualTo": left <= limit,
    }
    return holds[operator]


def _number(text: str) -> float | None:
    """A number, or a time as one."""
    try:
        value = float(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return value if math.isfinite(value) else None


def _key(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)
