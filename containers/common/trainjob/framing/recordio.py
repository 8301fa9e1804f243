"""RecordIO: magic, a word of 3 bits of part flag and 29 of length, the payload, zeros up to a multiple of 4.

Source: dmlc-core, include/dmlc/recordio.h and src/recordio.cc. Its writer cuts a payload wherever the magic stands at a
multiple of 4 and leaves those 4 bytes out; flags 1, 2, 3 mark first, middle and last part, 0 a whole record.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from trainjob.errors import RecordError
from trainjob.framing.fixed import ByteStream
from trainjob.framing.records import BUFFER_BYTES, MAX_RECORD_BYTES, Records, too_long
from trainjob.framing.window import Window

MAGIC = struct.pack("<I", 0xCED7230A)
HEADER_BYTES = 8
WHOLE, FIRST, MIDDLE, LAST = range(4)
_LENGTH_BITS = 29
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1
_WORD = struct.Struct("<I")


def write(file: BinaryIO, payload: bytes | memoryview) -> None:
    """Append one record, in parts where it holds the magic at a multiple of 4."""
    parts = _cut_at_magic(bytes(payload))
    for index, part in enumerate(parts):
        flag = WHOLE if len(parts) == 1 else FIRST if index == 0 else LAST if index == len(parts) - 1 else MIDDLE
        file.write(MAGIC + _WORD.pack(flag << _LENGTH_BITS | len(part)))
        file.write(part)
        file.write(bytes(-len(part) % 4))


def looks_like(head: bytes) -> bool:
    """Whether the first 4 bytes of a stream are RecordIO's magic."""
    return head[:4] == MAGIC


def read(
    stream: ByteStream,
    name: str = "stream",
    *,
    rejoin_magic: bool = True,
    buffer_bytes: int = BUFFER_BYTES,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Records]:
    """Read a stream's records, many at a time where they have one length.

    Args:
        stream: Where the bytes come from.
        name: What the stream is called in an error.
        rejoin_magic: Put the magic back between the parts of a record, as dmlc does. False joins them bare, as AWS's
            PipeModeDataset did.
        buffer_bytes: Size of the buffer; a longer record makes it grow for good.
        max_record_bytes: The longest record to believe.

    Yields:
        Records in the reader's buffer, valid until the next ones are asked for.

    Raises:
        RecordError: A header is not where it should be, parts are out of order, or a length is over the limit.
        TruncatedRecordError: The stream ended inside a record.
    """
    window, count = Window(stream, max(buffer_bytes, HEADER_BYTES)), 0
    while window.fill(HEADER_BYTES):
        flag, length = _header(window, name, count, max_record_bytes)
        if not window.fill(_stride(length)):
            raise window.cut_off(name, count, _stride(length))
        if flag == WHOLE:
            records = window.take_alike(HEADER_BYTES, length, _stride(length), count)
            records = records or _one_by_one(window, name, count, max_record_bytes)
        else:
            records = _joined(window, name, count, max_record_bytes, MAGIC if rejoin_magic else b"")
        count += len(records)
        yield records
    if window.available:
        raise window.cut_off(name, count, HEADER_BYTES)


def _stride(length: int) -> int:
    return HEADER_BYTES + length + -length % 4


def _header(window: Window, name: str, record: int, limit: int) -> tuple[int, int]:
    """Part flag and length of the header at the window's position."""
    head = window.data[window.position : window.position + HEADER_BYTES].tobytes()
    if not looks_like(head):
        raise RecordError(
            f"{name}: record {record} at byte offset {window.stream_position} begins with {head[:4].hex()}, not with "
            f"RecordIO's magic {MAGIC.hex()}; the stream is damaged there or before, or is not RecordIO."
        )
    word = _WORD.unpack_from(head, 4)[0]
    flag, length = word >> _LENGTH_BITS, word & _LENGTH_MASK
    if flag > LAST:
        raise RecordError(
            f"{name}: record {record} at byte offset {window.stream_position} has the part flag {flag}; known are 0 to "
            "3; the stream is damaged there."
        )
    if length > limit:
        raise too_long(name, record, length, limit)
    return flag, length


def _one_by_one(window: Window, name: str, first: int, limit: int) -> Records:
    """All whole records here, whatever their lengths, up to one in parts; at least one is."""
    starts: list[int] = []
    lengths: list[int] = []
    while window.available >= HEADER_BYTES:
        start = window.position + HEADER_BYTES
        try:
            flag, length = _header(window, name, first + len(starts), limit)
            if flag != WHOLE or window.available < _stride(length):
                break
            _refuse_swallowed(window, name, first + len(starts), _stride(length))
        except RecordError:
            if starts:
                break  # the whole records before it come first
            raise
        starts.append(start)
        lengths.append(length)
        window.position += _stride(length)
    return Records(window.data, np.array(starts, np.int64), np.array(lengths, np.int64), first)


def _refuse_swallowed(window: Window, name: str, record: int, stride: int) -> None:
    """Refuse a payload whose end is a row of whole records: its length field was damaged and took them in.

    A magic alone proves nothing, as the platform wraps any object whole; records that end where the payload ends do.
    They may begin where it begins: it was empty before. An object that is RecordIO itself looks the same, and needs no
    wrapper.
    """
    content = window.data[window.position + HEADER_BYTES : window.position + stride].tobytes()
    if MAGIC not in content:
        return
    # From the end, so that every place is looked at once: is there a row of records from here to the end?
    rows = bytearray(len(content) // 4 + 1)
    rows[-1] = True
    position = begin = len(content)
    while (position := content.rfind(MAGIC, 0, position + len(MAGIC) - 1)) >= 0:
        if position % 4 == 0 and position + HEADER_BYTES <= len(content):
            following = position + _stride(_WORD.unpack_from(content, position + 4)[0] & _LENGTH_MASK)
            if following <= len(content) and rows[following // 4]:
                rows[position // 4], begin = True, position
    if begin < len(content):
        raise RecordError(
            f"{name}: record {record} at byte offset {window.stream_position} holds whole records at its end (byte "
            f"{begin} of its {len(content)}); its length field is damaged, or an object that is RecordIO itself was "
            "wrapped again (then set RecordWrapperType to None)."
        )


def _joined(window: Window, name: str, record: int, limit: int, glue: bytes) -> Records:
    """The record in parts that begins here, in memory of its own."""
    joined = bytearray()
    total, flag = 0, WHOLE  # what stands before the first part
    while flag != LAST:
        if not window.fill(HEADER_BYTES):
            raise window.cut_off(name, record, HEADER_BYTES)
        before, (flag, length) = flag, _header(window, name, record, limit)
        if (flag == FIRST) != (before == WHOLE) or flag == WHOLE:
            due = "first or whole" if before == WHOLE else "middle or last"
            raise RecordError(
                f"{name}: record {record} at byte offset {window.stream_position} has a part with flag {flag} where a "
                f"{due} one belongs; the stream is damaged there."
            )
        # The magic counts even where it is not put back, or parts of nothing would have no end.
        total += length + (0 if flag == FIRST else len(MAGIC))
        if total > limit:
            raise too_long(name, record, total, limit)
        if not window.fill(_stride(length)):
            raise window.cut_off(name, record, _stride(length))
        start = window.position + HEADER_BYTES
        part = window.data[start : window.position + _stride(length)].tobytes()
        if _aligned_magic(part) >= 0:
            raise RecordError(
                f"{name}: record {record} at byte offset {window.stream_position} has a part that holds RecordIO's "
                "magic, at which it would have been cut; its length field is damaged."
            )
        joined += (b"" if flag == FIRST else glue) + part[:length]
        window.position += _stride(length)
    payload = np.frombuffer(joined, np.uint8)
    return Records(payload, np.zeros(1, np.int64), np.array([len(payload)], np.int64), record)


def _cut_at_magic(payload: bytes) -> list[bytes]:
    parts: list[bytes] = []
    begin = 0
    while (found := _aligned_magic(payload, begin)) >= 0:
        parts.append(payload[begin:found])
        begin = found + len(MAGIC)
    return [*parts, payload[begin:]]


def _aligned_magic(content: bytes, start: int = 0) -> int:
    """Where the magic stands first at a multiple of 4, from `start` on; -1 if nowhere."""
    found = content.find(MAGIC, start)
    while found >= 0 and found % 4:
        found = content.find(MAGIC, found + 1)
    return found
