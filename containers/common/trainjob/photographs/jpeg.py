"""What a JPEG says of itself: its size, and whether it is whole. Decodes nothing.

Source: ITU-T T.81, annex B.
"""

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import PhotographError

MAX_PIXELS = 1 << 26
"""The largest photograph believed, 67 megapixels: 600 bytes can ask for gigabytes of pixels."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame, baseline or progressive; the three between them are tables."""
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))
"""Markers without a length."""


def size(content: NDArray[np.uint8], max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width in pixels.

    Args:
        content: `(bytes,)`: the file.
        max_pixels: The most to believe.

    Raises:
        PhotographError: It is no JPEG, was cut off, or is larger than that; says which.
    """
    view = np.ascontiguousarray(content).data
    if view[:2] != _START:
        begins = f"it begins with {view[:4].hex()}" if view.nbytes else "it has no bytes"
        raise PhotographError(f"is no JPEG: {begins}")
    place, found = 2, None
    while found is None:
        marker, place = _next(view, place)
        if marker in _ALONE:
            continue
        if marker == _SCAN:
            raise PhotographError("is no whole JPEG: its pixels begin before its size is told")
        length = _word(view, place)
        if marker in _FRAMES:
            found = _word(view, place + 3), _word(view, place + 5)
        place += length
    height, width = found
    if not height or not width or height * width > max_pixels:
        raise PhotographError(f"says it is {width} x {height} pixels; 1 to {max_pixels:,} are read")
    # A thumbnail in the header has an end of its own, so the last one counts; most often these are the last bytes.
    if (len(view) - 2 if view[-2:] == _END else bytes(view).rfind(_END)) < place:
        raise PhotographError(f"was cut off: {len(view):,} bytes, and no end of image among them")
    return height, width


def _next(content: memoryview, place: int) -> tuple[int, int]:
    """The marker at `place`, and what follows it."""
    while place + 1 < len(content):
        if content[place] != 0xFF:
            raise PhotographError(f"is damaged: byte {place} of its header is no marker")
        if content[place + 1] != 0xFF:  # any number of them may stand before a marker
            return content[place + 1], place + 2
        place += 1
    raise PhotographError(f"was cut off in its header, after {len(content):,} bytes")


def _word(content: memoryview, place: int) -> int:
    if place + 2 > len(content):
        raise PhotographError(f"was cut off in its header, after {len(content):,} bytes")
    return content[place] << 8 | content[place + 1]
