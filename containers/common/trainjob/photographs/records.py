"""Photographs out of records: those of an augmented manifest, an attribute each, or Examples of TFRecord."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import RecordError
from trainjob.framing import example
from trainjob.framing.records import Records
from trainjob.photographs.views import Box


@dataclass(frozen=True, slots=True)
class Photograph:
    """One JPEG, as it came, with what is known of it."""

    key: str
    """What it is called in an error: its path in the data set, or its place in the stream."""
    content: NDArray[np.uint8]
    """`(bytes,)`, memory of its own."""
    label: int
    box: Box | None
    index: int
    """Its place in the channel, from 0."""


def box_of(values: Iterable[float]) -> Box:
    """The box that these values are.

    Raises:
        ValueError, TypeError, OverflowError: They are not 4 numbers.
    """
    left, top, width, height = map(float, values)
    if not all(map(math.isfinite, (left, top, width, height))):
        raise ValueError(f"{(left, top, width, height)} are not finite")
    return left, top, width, height


def from_records(parts: Iterable[Records], name: str) -> Iterator[Photograph]:
    """Photographs of a stream of records: JPEG, label and, told from the first photograph, box and key.

    Args:
        parts: Payloads in order: those of AttributeNames `["source-ref", "label"]`, or with `box` and `key` after them.
        name: What the stream is called in an error.

    Raises:
        RecordError: A record is not what its place asks for, or the stream ends within a photograph.
    """
    attributes: tuple[str, ...] = ()
    held: list[NDArray[np.uint8]] = []
    count = index = 0
    for records in parts:
        for place in range(len(records)):
            held.append(records[place].copy())
            count += 1
            if not attributes:
                attributes = _attributes(held)
            if attributes and len(held) >= len(attributes) + 1:
                wanted = len(attributes) + 1
                yield _photograph(held[:wanted], attributes, name, index)
                index, held = index + 1, held[wanted:]
    attributes = attributes or tuple(_kind(record) for record in held[1:])
    if held and len(held) == len(attributes) + 1 > 1:  # a stream of a single photograph
        yield _photograph(held, attributes, name, index)
    elif held:
        raise RecordError(
            f"{name} ended after {count} records, {len(held)} of them of a photograph that is not whole; a photograph "
            f"has {len(attributes) + 1 if attributes else 'at least 2'}: check AttributeNames."
        )


def from_examples(parts: Iterable[Records], name: str) -> Iterator[Photograph]:
    """Photographs of a stream of Examples with `image`, `label` and, perhaps, `box` and `key`.

    Raises:
        RecordError: An Example is none, or lacks a feature.
    """
    index = 0
    for records in parts:
        for place in range(len(records)):
            yield _from_example(records[place], name, index)
            index += 1


def _from_example(record: NDArray[np.uint8], name: str, index: int) -> Photograph:
    where = f"{name}: record {index}"
    try:
        features = {key: value for key, value in example.read(record).items() if len(value)}
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    for wanted in ("image", "label"):
        if wanted not in features:
            known = ", ".join(f"'{key}'" for key in features) or "none"
            raise RecordError(f"{where} is an Example without a feature '{wanted}'; its features are: {known}.")
    image, label, key, box = features["image"], features["label"], features.get("key", [b""]), features.get("box")
    kinds = {each: "bytes" if isinstance(value, list) else str(value.dtype) for each, value in features.items()}
    if not (isinstance(image, list) and isinstance(key, list)) or kinds["label"] != "int64":
        raise RecordError(f"{where} is an Example of {kinds}; image and key must be bytes, label an int64.")
    try:
        found = None if box is None else box_of(map(float, box))
    except ValueError as error:
        raise RecordError(f"{where} has a feature 'box' that is none ({error}); it must be 4 numbers.") from None
    called = key[0].decode(errors="replace") or f"photograph {index} of {name}"
    return Photograph(called, np.frombuffer(image[0], np.uint8), int(label[0]), found, index)


def _attributes(held: list[NDArray[np.uint8]]) -> tuple[str, ...]:
    """What follows a photograph, once enough records have come to tell: from one to the next, a label and others."""
    kinds = [_kind(record) for record in held]
    for place in range(2, len(kinds)):
        # The next photograph: no attribute, or one that has been already.
        if kinds[place] == "" or kinds[place] in kinds[1:place]:
            return tuple(kinds[1:place])
    return ()


def _kind(record: NDArray[np.uint8]) -> str:
    """`label`, `box` or `key`; empty for what is none of them, as a JPEG is."""
    if len(record) > 1024:
        return ""
    try:
        text = record.tobytes().decode()
    except UnicodeDecodeError:
        return ""
    if text.strip().lstrip("-").isdigit():
        return "label"
    if text.startswith("["):
        return "box"
    return "key" if text.isprintable() and text else ""


def _photograph(held: list[NDArray[np.uint8]], attributes: tuple[str, ...], name: str, index: int) -> Photograph:
    texts = {kind: record.tobytes() for kind, record in zip(attributes, held[1:], strict=True)}
    where = f"{name}: photograph {index}"
    if "label" not in texts or "" in texts:  # a record that is no attribute is a photograph before its time
        raise RecordError(
            f"{where} is followed by {held[1][:40].tobytes()!r} and no label; AttributeNames must give its reference, "
            "then its label, a number."
        )
    try:
        label = int(texts["label"])
        box = box_of(json.loads(texts["box"])) if "box" in texts else None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        seen = {kind: text[:40] for kind, text in texts.items()}
        raise RecordError(
            f"{where} is followed by {seen}, where a label and a box of 4 numbers belong ({error}); check that every "
            "line of the manifest has the attributes, and AttributeNames their order."
        ) from None
    key = texts["key"].decode(errors="replace") if "key" in texts else f"photograph {index} of {name}"
    return Photograph(key, held[0], label, box, index)
