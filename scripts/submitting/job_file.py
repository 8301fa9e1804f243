"""A job as a person writes it: a CreateTrainingJob request as YAML, in the API's own field names."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.submitting.errors import SubmitError

PLACEHOLDER = "s3://BUCKET"
"""Stands in a file for the place that `--bucket` names."""
_TEXTS = ("HyperParameters", "Environment")
"""Maps of strings, in which a number may be written as one."""
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](/.*)?")


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, where PyYAML takes the last without a word."""


def _map(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(key), value) for key, value in node.value]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            line = node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice from line {line} on")
    return {name: loader.construct_object(value, deep=True) for name, value in pairs}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _map)


def read(path: Path, *, operation: str = "CreateTrainingJob", like: str = "examples/jobs") -> dict[str, Any]:
    """The request of an operation in a file, without what is left empty there; errors refer to files `like` it.

    Raises:
        SubmitError: It cannot be read, or is not a map.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise SubmitError(f"Cannot read {path}: {error.strerror}; give a file such as those in {like}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SubmitError(f"{path} is no YAML: {error}; see {like} for how one looks") from None
    if not isinstance(document, dict):
        raise SubmitError(
            f"{path} holds a {type(document).__name__}; it must be a map of {operation}'s fields, as in {like}"
        )
    document = _without_empty(document)
    return with_texts(document, _TEXTS)


def with_texts(document: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """The document with the values of some of its maps, where they were written as numbers, true or false, as texts."""
    maps = {field: document[field] for field in fields if isinstance(document.get(field), dict)}
    return {**document, **{field: {name: text(value) for name, value in each.items()} for field, each in maps.items()}}


def placed(document: Mapping[str, Any], bucket: str) -> dict[str, Any]:
    """The request with every `s3://BUCKET` replaced by `bucket`, such as s3://my-bucket/vision.

    Raises:
        SubmitError: `bucket` is no such place, or is missing where the request needs it.
    """
    if bucket and not _BUCKET.fullmatch(bucket):
        raise SubmitError(f"--bucket {bucket} is no place in S3; give one such as s3://my-bucket/vision")
    lacking: list[str] = []

    def place(text: str) -> str:
        if text != PLACEHOLDER and not text.startswith(f"{PLACEHOLDER}/"):
            return text
        lacking.append(text)
        return bucket.rstrip("/") + text.removeprefix(PLACEHOLDER)

    result: dict[str, Any] = _mapped(document, place)
    if lacking and not bucket:
        raise SubmitError(
            f"The job refers to {lacking[0]}, which stands for a place of yours; give --bucket s3://my-bucket/prefix "
            "(make: BUCKET=...)"
        )
    return result


def with_hyperparameters(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The request with hyperparameters over its own."""
    return {**document, "HyperParameters": {**document.get("HyperParameters", {}), **given}} if given else {**document}


def text(value: Any) -> Any:
    """Numbers, true and false as JSON writes them, which is how programs read them."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
