"""Results as pictures; the only importer of matplotlib."""

import logging
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_READABLE = 20
"""Classes of a confusion matrix whose counts can be read."""
_NAMES = 100
"""Names along its side that can be."""
_CAPTION = 32
"""Letters that stand side by side below a picture."""


def learning_curve(path: Path, title: str, rows: Sequence[Mapping[str, float]]) -> bool:
    """Draw loss and accuracy over the epochs as a PNG.

    Args:
        path: Where to write it.
        title: Line above the picture.
        rows: One mapping an epoch with `epoch`, `train:loss`, `validation:loss` (nats), `train:accuracy`,
            `validation:accuracy` (0..1).

    Returns:
        False, after a warning, where matplotlib is not installed: the numbers are in the CSV all the same.
    """
    figure = _figure(9, 3.6)
    if figure is None:
        return False
    epochs = [row["epoch"] for row in rows]
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, marker in (("train", "o"), ("validation", "s")):
            values = [row[f"{split}:{quantity}"] for row in rows]
            axes.plot(epochs, values, marker=marker, markersize=4, label=f"{split} (last {values[-1]:.3f})")
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return True


def confusion_matrix(path: Path, title: str, counts: Sequence[Sequence[int]], labels: Sequence[str]) -> bool:
    """Draw what was taken for what as a PNG.

    Args:
        path: Where to write it.
        title: Line above the picture.
        counts: One row a true class, in it one count a predicted class.
        labels: Name of each class.

    Returns:
        False, after a warning, where matplotlib is not installed.
    """
    crowded = len(labels) > _READABLE
    figure = _figure(*((14, 13.4) if crowded else (7, 6.4)))
    if figure is None:
        return False
    axes = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(0, len(labels), -(-len(labels) // _NAMES))
    size = max(4, 10 - len(places) // 12)
    named = [labels[place] for place in places]
    axes.set_xticks(places, named, rotation=90 if crowded else 45, ha="center" if crowded else "right", fontsize=size)
    axes.set_yticks(places, named, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    for true, row in enumerate(counts if not crowded else ()):  # so many numbers are noise; the shades say it
        for predicted, count in enumerate(row):
            colour = "white" if shares[true][predicted] > 0.5 else "black"
            axes.text(predicted, true, str(count), ha="center", va="center", color=colour, fontsize=8, in_layout=False)
    figure.savefig(path, dpi=120)
    return True


def contact_sheet(
    path: Path, title: str, images: "Sequence[NDArray[np.uint8]]", captions: Sequence[str], columns: int = 6
) -> bool:
    """Draw pictures in rows, a caption below each, as a PNG.

    Args:
        path: Where to write it.
        title: Line above them.
        images: RGB, `(height, width, 3)` each.
        captions: One a picture; line breaks are kept, and longer lines broken where the picture ends.
        columns: Pictures in a row.

    Returns:
        False, after a warning, where matplotlib is not installed.
    """
    rows = max(1, -(-len(images) // columns))
    figure = _figure(2.2 * columns, 2.75 * rows + 0.5)
    if figure is None:
        return False
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image)
        lines = [textwrap.fill(line, _CAPTION) for line in caption.splitlines()]
        axes.set_title("\n".join(lines), fontsize=7, y=-0.06, va="top")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    return True


def preload() -> None:
    """Import what draws, where it is installed, for processes that are forked from this one."""
    _figure(1, 1)


def _figure(width: float, height: float) -> "Figure | None":
    """An empty figure, sizes in inches; None, after a warning, where matplotlib is not installed."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # while it is imported, it tells of its font cache
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - 0.3 s that a job spends at its end
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        log.warning("no picture drawn: this interpreter has no matplotlib (pip install matplotlib)")
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
