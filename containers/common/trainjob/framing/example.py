"""tf.train.Example, a TFRecord's usual payload, without TensorFlow: write, read, and read many of one schema at once.

Source: tensorflow/core/example/{example,feature}.proto and the protocol buffers' wire format
(https://protobuf.dev/programming-guides/encoding/).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import RecordError

Value = list[bytes] | NDArray[np.float32] | NDArray[np.int64]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    wire_type: int
    start: int
    end: int


def write(features: Mapping[str, bytes | int | float | Sequence[int] | Sequence[float]]) -> bytes:
    """An Example; bytes become a bytes_list, integers an int64_list, floats a float_list. Keys in the given order."""
    entries = b""
    for key, value in features.items():
        entries += _message(1, _message(1, key.encode()) + _message(2, _feature(value)))
    return _message(1, entries)


def read(payload: bytes | NDArray[np.uint8]) -> dict[str, Value]:
    """The features of one Example.

    Raises:
        RecordError: The bytes are no Example.
    """
    content = bytes(payload)
    return {key: _value(content, field) for key, field in _features(content)}


def columns(rows: NDArray[np.uint8], blob: str, number: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """One bytes feature and one single-byte integer feature of many Examples that are alike but for those values.

    Args:
        rows: `(n, length)` uint8, one Example each.
        blob: Key of a bytes_list of one value.
        number: Key of an int64_list of one value, 0 to 127 in every row.

    Returns:
        The blobs `(n, size)` uint8, a view, and the numbers `(n,)` int64; None where the rows are not alike, so that
        each must be read by itself.

    Raises:
        RecordError: The first row is no Example, or has no such features.
    """
    key = (rows.shape[1], blob, number)
    layout = _layouts.get(key)
    if layout is None or not layout.fits(rows[0]):  # to parse one takes as long as to cut a hundred
        layout = _Layout.of(rows[0], blob, number)
        if len(_layouts) > _LAYOUTS_KEPT:
            _layouts.clear()
        _layouts[key] = layout
    blob_span, place = layout.blob, layout.number
    if place is None:
        return None
    numbers = rows[:, place]
    # A set high bit is a number that goes on in the next byte.
    if (rows[:, layout.fixed] != layout.template).any() or (numbers > 127).any():
        return None
    return rows[:, blob_span[0] : blob_span[1]], numbers.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the two features lie in an Example, and all bytes but theirs."""

    blob: tuple[int, int]
    number: int | None
    """None if the number takes more than a byte."""
    fixed: NDArray[np.intp]
    template: NDArray[np.uint8]

    @staticmethod
    def of(row: NDArray[np.uint8], blob: str, number: str) -> "_Layout":
        content = row.tobytes()
        blob_span, number_span = (
            _single(content, key, kind) for key, kind in ((blob, _BYTES_LIST), (number, _INT64_LIST))
        )
        mask = np.ones(len(row), bool)
        mask[blob_span[0] : blob_span[1]] = mask[number_span[0]] = False
        place = number_span[0] if number_span[1] - number_span[0] == 1 else None
        fixed = np.flatnonzero(mask)
        return _Layout(blob_span, place, fixed, row[fixed])

    def fits(self, row: NDArray[np.uint8]) -> bool:
        """Whether an Example is like the one that this was made of."""
        return self.number is not None and row[self.number] <= 127 and bool((row[self.fixed] == self.template).all())


_layouts: dict[tuple[int, str, str], _Layout] = {}
_LAYOUTS_KEPT = 64


def _single(content: bytes, key: str, kind: int) -> tuple[int, int]:
    """Where the one value of a feature lies."""
    features = dict(_features(content))
    if key not in features:
        known = ", ".join(f"'{known}'" for known in features) or "none"
        raise RecordError(
            f"An Example has no feature '{key}'; its features are: {known}. Check which data set the channel's S3Uri "
            "names, or write it with that feature."
        )
    lists = [item for item in _fields(content, features[key].start, features[key].end) if item.number == kind]
    values = [item for entry in lists for item in _fields(content, entry.start, entry.end) if item.number == 1]
    if len(values) != 1:
        wanted = "bytes" if kind == _BYTES_LIST else "int64"
        raise RecordError(f"An Example's feature '{key}' has {len(values)} {wanted} values; it must have one.")
    return values[0].start, values[0].end


def _features(content: bytes) -> Iterator[tuple[str, _Field]]:
    for features in _fields(content, 0, len(content)):
        if features.number != 1 or features.wire_type != _BYTES:
            continue
        for entry in _fields(content, features.start, features.end):
            parts = {item.number: item for item in _fields(content, entry.start, entry.end)}
            if 1 in parts and 2 in parts:
                yield content[parts[1].start : parts[1].end].decode(errors="replace"), parts[2]


def _value(content: bytes, feature: _Field) -> Value:
    for kind in _fields(content, feature.start, feature.end):
        if kind.number not in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST):
            continue
        items = [item for item in _fields(content, kind.start, kind.end) if item.number == 1]
        if kind.number == _BYTES_LIST:
            return [content[item.start : item.end] for item in items]
        packed = b"".join(content[item.start : item.end] for item in items)
        if kind.number == _FLOAT_LIST:
            if len(packed) % 4:
                raise RecordError(
                    f"A payload of {len(content)} bytes is no Example: a float_list of {len(packed)} bytes."
                )
            return np.frombuffer(packed, "<f4")
        return np.array(list(_varints(packed)), np.int64)
    return []


def _fields(content: bytes, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message that lies in `content[start:end]`."""
    while start < end:
        tag, start = _varint(content, start, end)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value_start = start
            _, start = _varint(content, start, end)
        elif wire_type == _BYTES:
            length, value_start = _varint(content, start, end)
            start = value_start + length
        elif wire_type in (_FIXED64, _FIXED32):
            value_start, start = start, start + (8 if wire_type == _FIXED64 else 4)
        else:
            raise RecordError(
                f"A payload of {len(content)} bytes is no Example: wire type {wire_type} at byte {start}."
            )
        if start > end:
            raise RecordError(
                f"A payload of {len(content)} bytes is no Example: a field runs over the end at byte {end}."
            )
        yield _Field(tag >> 3, wire_type, value_start, start)


def _varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    value = 0
    for shift, position in zip(range(0, 70, 7), range(start, end), strict=False):
        value |= (content[position] & 127) << shift
        if content[position] < 128:
            return value, position + 1
    raise RecordError(f"A payload of {len(content)} bytes is no Example: a number at byte {start} has no end.")


def _varints(packed: bytes) -> Iterator[int]:
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position, len(packed))
        value &= (1 << 64) - 1
        yield value - (1 << 64) if value >> 63 else value


def _message(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes(encoded) + bytes([value])


def _feature(value: bytes | int | float | Sequence[int] | Sequence[float]) -> bytes:
    if isinstance(value, bytes):
        return _message(_BYTES_LIST, _message(1, value))
    values = list(value) if isinstance(value, Sequence) else [value]
    if all(isinstance(item, (int, np.integer)) for item in values):
        return _message(_INT64_LIST, _message(1, b"".join(_number(int(item)) for item in values)))
    return _message(_FLOAT_LIST, _message(1, np.array(values, "<f4").tobytes()))
