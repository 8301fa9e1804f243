"""Frames an object as one RecordIO record, as the platform does with RecordWrapperType RecordIO.

Written apart from trainjob's reader and writer on purpose: each checks the other. Magic, a word of 3 bits of part flag
and 29 of length, the payload, zeros up to a multiple of 4; numbers little-endian. A payload that holds the magic is
still one frame of flag 0: readers go by length.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEAD = struct.Struct("<II")
_MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
PART_BYTES = (1 << _LENGTH_BITS) - 4
"""The longest part of an object that is too long for one frame; a multiple of 4, so that only the last is padded."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around `length` bytes of payload."""

    head: bytes
    length: int
    padding: bytes


def frames(size: int, part_bytes: int = PART_BYTES) -> Iterator[Frame]:
    """The frames of an object of `size` bytes: one, or from 512 MiB on parts.

    What the service does with such an object is documented nowhere. dmlc's reader takes parts to be cut at the magic
    and puts that back between them; only a reader that joins parts as they are gets the object back.
    """
    if size < 1 << _LENGTH_BITS and size <= part_bytes + 3:
        yield _frame(_WHOLE, size)
        return
    for start in range(0, size, part_bytes):
        length = min(part_bytes, size - start)
        yield _frame(_FIRST if start == 0 else _LAST if start + length == size else _MIDDLE, length)


def _frame(flag: int, length: int) -> Frame:
    return Frame(_HEAD.pack(_MAGIC, flag << _LENGTH_BITS | length), length, bytes(-length % 4))
