"""TFRecord: a record is its length (uint64), the length's masked CRC32C, the payload, the payload's masked CRC32C.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord ("TFRecords format details"). All little endian;
masked = rotate_right(crc, 15) + 0xa282ead8.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import RecordError
from trainjob.framing.fixed import ByteStream
from trainjob.framing.records import BUFFER_BYTES, MAX_RECORD_BYTES, Records, too_long
from trainjob.framing.window import Window

try:
    from crc32c import crc32c
except ImportError:
    # A user's own interpreter may lack it, and all but TFRecord works without.
    crc32c = None  # type: ignore[assignment]

HEADER_BYTES = 12
FOOTER_BYTES = 4
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")


def masked_crc(content: bytes | memoryview) -> int:
    """CRC32C, masked as TFRecord stores it.

    Raises:
        RecordError: The package crc32c is not installed.
    """
    if crc32c is None:
        raise RecordError("TFRecord needs the package crc32c, which this interpreter lacks; run: pip install crc32c")
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write(file: BinaryIO, payload: bytes | memoryview) -> None:
    """Append one record."""
    length = _LENGTH.pack(len(payload))
    file.write(length + _CRC.pack(masked_crc(length)))
    file.write(payload)
    file.write(_CRC.pack(masked_crc(payload)))


def looks_like(head: bytes) -> bool:
    """Whether the first 12 bytes of a stream are a TFRecord header: by chance, one in four billion.

    False where the package crc32c is not installed: without it nothing can be told.
    """
    return crc32c is not None and len(head) >= HEADER_BYTES and _CRC.unpack_from(head, 8)[0] == masked_crc(head[:8])


def read(
    stream: ByteStream,
    name: str = "stream",
    *,
    check: bool = True,
    buffer_bytes: int = BUFFER_BYTES,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Records]:
    """Read a stream's records, many at a time where they have one length.

    Args:
        stream: Where the bytes come from.
        name: What the stream is called in an error.
        check: Whether to check the payloads' CRCs; the headers' are always.
        buffer_bytes: Size of the buffer; a longer record makes it grow for good.
        max_record_bytes: The longest record to believe.

    Yields:
        Records in the reader's buffer, valid until the next ones are asked for.

    Raises:
        RecordError: A CRC does not match, or a length is over the limit; names record and byte offset.
        TruncatedRecordError: The stream ended inside a record.
    """
    window, count = Window(stream, max(buffer_bytes, HEADER_BYTES)), 0
    while window.fill(HEADER_BYTES):
        length = _header(window, window.position, name, count, max_record_bytes)
        stride = HEADER_BYTES + length + FOOTER_BYTES
        if not window.fill(stride):
            raise window.cut_off(name, count, stride)
        records = window.take_alike(HEADER_BYTES, length, stride, count) or _one_by_one(
            window, name, count, max_record_bytes
        )
        count += len(records)
        yield from _checked(window, records, name) if check else (records,)
    if window.available:
        raise window.cut_off(name, count, HEADER_BYTES)


def _header(window: Window, position: int, name: str, record: int, limit: int) -> int:
    """The length that the header at `position` tells."""
    head = window.data[position : position + HEADER_BYTES].tobytes()
    if not looks_like(head):
        raise RecordError(
            f"{name}: record {record} at byte offset {window.offset + position} has a header whose CRC does not match; "
            "the stream is damaged there, or is not TFRecord."
        )
    length: int = _LENGTH.unpack_from(head)[0]
    if length > limit:
        raise too_long(name, record, length, limit)
    return length


def _one_by_one(window: Window, name: str, first: int, limit: int) -> Records:
    """All whole records here, whatever their lengths; at least one is."""
    starts: list[int] = []
    lengths: list[int] = []
    while window.available >= HEADER_BYTES:
        try:
            length = _header(window, window.position, name, first + len(starts), limit)
        except RecordError:
            if starts:
                break  # the whole records before it come first
            raise
        if window.available < HEADER_BYTES + length + FOOTER_BYTES:
            break
        starts.append(window.position + HEADER_BYTES)
        lengths.append(length)
        window.position += HEADER_BYTES + length + FOOTER_BYTES
    return Records(window.data, np.array(starts, np.int64), np.array(lengths, np.int64), first)


def _checked(window: Window, records: Records, name: str) -> Iterator[Records]:
    """The records, or those before the first whose payload does not match its CRC, and then the error."""
    view = window.data.data
    ends = records.starts + records.lengths
    stored = _stored_crcs(window.data, ends)
    # No bytecode for each record: what this loop holds of the interpreter, the training waits for.
    payloads = map(view.__getitem__, map(slice, records.starts.tolist(), ends.tolist()))
    computed = np.fromiter(map(crc32c, payloads), np.uint32, len(records))
    masked = (computed >> 15 | computed << 17) + np.uint32(0xA282EAD8)
    wrong = np.flatnonzero(masked != stored)
    if not wrong.size:
        yield records
        return
    good = int(wrong[0])
    offset = window.offset + int(records.starts[good])
    if good:
        yield Records(records.data, records.starts[:good], records.lengths[:good], records.first)
    raise RecordError(
        f"{name}: the payload of record {records.first + good} at byte offset {offset} does not match its CRC; "
        "the stream is damaged there."
    )


def _stored_crcs(data: NDArray[np.uint8], positions: NDArray[np.int64]) -> NDArray[np.uint32]:
    stored: NDArray[np.uint32] = data[positions[:, None] + np.arange(FOOTER_BYTES)].view("<u4").ravel()
    return stored
