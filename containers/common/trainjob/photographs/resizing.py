"""Regions of photographs, decoded, brought to what a view shows by a framework's own way to resize."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainjob.memory import Recycled
from trainjob.photographs.views import Centre, Regions, View, Whole, centre, resized

Pixels = NDArray[np.uint8]
Resize = Callable[[Pixels, tuple[int, int], bool], Pixels]
"""Pixels `(height, width, 3)` to a height and a width, filtered where they become fewer or not: memory of its own."""


class Resizer:
    """Shows regions of photographs."""

    def __init__(self, view: View, resize: Resize) -> None:
        self._view, self._resize = view, resize
        self._memory = Recycled()

    def shown(self, pixels: Sequence[Pixels], regions: Regions) -> Any:
        """Images `(n, side, side, 3)`, in memory that is used again; of a `Whole` a list of `(height, width, 3)`.

        Args:
            pixels: Each region's, `(height, width, 3)`; read until this returns.
            regions: Which they are.
        """
        images: Any = [None] * len(pixels)
        if not isinstance(self._view, Whole):
            side = self._view.side
            images = self._memory.empty((len(pixels), side * side * 3)).reshape(len(pixels), side, side, 3)
        for index, (each, (height, width)) in enumerate(zip(pixels, regions[:, 2:].tolist(), strict=True)):
            images[index] = self._one(each, height, width)
        return images

    def _one(self, pixels: Pixels, height: int, width: int) -> Pixels:
        view = self._view
        size = resized(view, height, width)
        shown = self._resize(pixels, size, view.antialias)
        if not isinstance(view, Centre):
            return shown
        top, left = centre(view, *size)
        return shown[top : top + view.side, left : left + view.side]
