"""Results as pictures; the only importer of matplotlib."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)


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
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # while it is imported, it tells of its font cache
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - 0.3 s that a job spends at its end
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        log.warning("no learning curve drawn: this interpreter has no matplotlib (pip install matplotlib)")
        return False
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
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
