"""Which part of a photograph is shown, drawn apart from its decoding, so that every decoder shows the same."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""
Regions = NDArray[np.int32]
"""`(n, 4)`: top, left, height, width in pixels."""

BOX_MARGIN = 0.1
"""Of the box's width and height, left around it on each side."""
_TRIES = 10
_ASPECTS = (math.log(3 / 4), math.log(4 / 3))


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A random part of random shape, resized to a square: what training shows."""

    side: int
    """Of the square, pixels."""
    least_area: float = 0.08
    """Share of the photograph that the part has at least, above 0 to 1."""
    use_boxes: bool = False
    """Draw the part within the bounding box."""
    antialias: bool = True
    """Filter what is made smaller. Without it faster where DALI resizes, and grainier."""


@dataclass(frozen=True, kw_only=True)
class Centre:
    """The short side resized, the centre cut out: what evaluation shows."""

    side: int
    """Of the square, pixels."""
    short: int
    """What the short side becomes, pixels, `side` or more."""
    use_boxes: bool = False
    """Show the bounding box as if it were the photograph."""
    antialias: bool = True
    """Filter what is made smaller."""

    def __post_init__(self) -> None:
        if self.side > self.short:
            raise ValueError(f"no square of {self.side} pixels in a photograph of {self.short}; side is short or less")


@dataclass(frozen=True, kw_only=True)
class Whole:
    """All of it, the short side resized: what is kept, to cut parts of later."""

    short: int
    """What the short side becomes, pixels."""
    use_boxes: bool = False
    """Show the bounding box as if it were the photograph."""
    antialias: bool = True
    """Filter what is made smaller."""


View = Crop | Centre | Whole


def regions(
    view: View, sizes: Sequence[tuple[int, int]], boxes: Sequence[Box | None], random: np.random.Generator
) -> Regions:
    """The part of each photograph that is decoded.

    Args:
        view: What is shown. Only of a Crop the part is drawn; of others it is all there is.
        sizes: Height and width of each photograph, pixels.
        boxes: Its bounding box, if it has one; used where the view says so.
        random: Where a part is drawn from; equal states draw equal parts.
    """
    frames = np.array(
        [
            _framed(size, box if view.use_boxes else None)
            for size, box in zip(sizes, boxes, strict=True)
        ], np.int32,
    ).reshape(-1, 4)  # fmt: skip
    return _drawn(frames, view.least_area, random) if isinstance(view, Crop) else frames


def resized(view: View, height: int, width: int) -> tuple[int, int]:
    """What a region of that height and width is resized to, pixels."""
    if isinstance(view, Crop):
        return view.side, view.side
    scale = view.short / min(height, width)
    return max(view.short, round(height * scale)), max(view.short, round(width * scale))


def centre(view: Centre, height: int, width: int) -> tuple[int, int]:
    """Top and left of the square that is cut out of a photograph resized to that height and width."""
    return (height - view.side) // 2, (width - view.side) // 2


def _framed(size: tuple[int, int], box: Box | None) -> tuple[int, int, int, int]:
    """Top, left, height and width of the whole photograph, or of the part of the box that lies in it."""
    height, width = size
    if box is None:
        return 0, 0, height, width
    left, top, across, down = box
    first_row, last_row = _span(top, down, height)
    first_column, last_column = _span(left, across, width)
    return first_row, first_column, last_row - first_row, last_column - first_column


def _span(start: float, length: float, limit: int) -> tuple[int, int]:
    margin = BOX_MARGIN * length
    first = min(max(0, math.floor(start - margin)), limit - 1)
    return first, max(first + 1, min(limit, math.ceil(start + length + margin)))


def _drawn(frames: Regions, least_area: float, random: np.random.Generator) -> Regions:
    """A part of each frame: area and shape drawn until they fit, ten times at most; then the largest that does.

    As torchvision's RandomResizedCrop draws it, but for all photographs at once.
    """
    height, width = (frames[:, column, None].astype(np.float64) for column in (2, 3))
    shape = (len(frames), _TRIES)
    area = height * width * random.uniform(least_area, 1, shape)
    aspect = np.exp(random.uniform(*_ASPECTS, shape))
    # The last column is for those that none fitted.
    limits = np.clip(width / height, *np.exp(_ASPECTS))
    columns = np.rint(np.hstack([np.sqrt(area * aspect), np.minimum(width, height * limits)]))
    rows = np.rint(np.hstack([np.sqrt(area / aspect), np.minimum(height, width / limits)]))
    fits = (columns >= 1) & (columns <= width) & (rows >= 1) & (rows <= height)
    fits[:, -1] = True
    chosen = fits.argmax(1)[:, None]
    rows, columns = (np.take_along_axis(each, chosen, 1)[:, 0].clip(1) for each in (rows, columns))
    places = random.random((2, len(frames)))
    top = frames[:, 0] + np.floor(places[0] * (height[:, 0] - rows + 1))
    left = frames[:, 1] + np.floor(places[1] * (width[:, 0] - columns + 1))
    return np.stack([top, left, rows, columns], 1).astype(np.int32)
