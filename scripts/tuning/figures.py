"""Two pictures of a sweep: every trial as a line through its values, and how much each hyperparameter mattered."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from local_mode.tuning.objective import Objective
from local_mode.tuning.ranges import Categorical, Range
from scripts.tuning.table import shown, values_of
from scripts.tuning.trials import Trial

ID = "trial-"
"""Begins the id of a trial's line in the SVG; its number ends it."""
_COLOURS = "viridis"
_BEST = "#d62728"
_INCHES = (8.0, 4.5)
_DPI = 120
_BEHIND_WORDS = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_STILL = {"svg.hashsalt": "sweep", "svg.fonttype": "none"}
"""The same sweep gives the same file; its words stay words."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure in both forms."""

    png: bytes
    svg: str


def parallel(space: Sequence[Range], trials: Sequence[Trial], best: Trial | None, objective: Objective) -> Picture:
    """Parallel coordinates of the trials that have a value: an axis for each hyperparameter, the last the objective."""
    known = [(trial, trial.objective) for trial in trials if trial.objective is not None]
    values = [value for _, value in known]
    low, high = min(values), max(values)
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    # The better ones last, so that they lie above the others.
    for trial, value in sorted(known, key=lambda each: each[1], reverse=not objective.maximize):
        share = 0.5 if low == high else (value - low) / (high - low)
        heights = [*(_height(each, trial.values[each.name]) for each in space), share]
        is_best = best is not None and trial.number == best.number
        colour = mpl.colormaps[_COLOURS](share if objective.maximize else 1 - share)
        (line,) = axes.plot(
            range(len(heights)), heights,
            color=_BEST if is_best else colour, linewidth=2.4 if is_best else 1.3,
            linestyle="solid" if trial.status == "Completed" else "dashed", marker="o", markersize=3,
        )  # fmt: skip
        line.set_gid(f"{ID}{trial.number}")
    names = [*(each.name for each in space), objective.metric]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.3, len(names) - 0.5)
    axes.set_ylim(-0.06, 1.06)
    _bare(axes, "top", "right", "left", "bottom")
    ticks = [*(_ticks(each) for each in space), {at: f"{low + at * (high - low):.4g}" for at in _TICKS}]
    for index, each in enumerate(ticks):
        axes.axvline(index, color="0.6", linewidth=0.8, zorder=0)
        for height, text in each.items():
            axes.text(index + 0.03, height, text, fontsize=8, color="0.25", va="center", bbox=_BEHIND_WORDS)
    title = f"{objective.metric}: {len(known)} of {len(trials)} trials have a value; dashed: stopped early"
    axes.set_title(f"{title}; red: the best" if best else title, fontsize=10)
    return _drawn(figure)


def importance(found: Mapping[str, float], trials: int) -> Picture:
    """Bars: the share of each hyperparameter in what made a trial one of the best."""
    ordered = sorted(found.items(), key=lambda item: item[1])
    figure = Figure(figsize=(_INCHES[0], 1.2 + 0.45 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([name for name, _ in ordered], [share for _, share in ordered], color="#1f77b4")
    axes.bar_label(bars, [f"{share:.0%}" for _, share in ordered], padding=3, fontsize=9)
    axes.set_xlim(0, 1.1)
    axes.set_xticks([])
    _bare(axes, "top", "right", "bottom")
    few = "; of so few, a hint at most" if trials < 20 else ""
    axes.set_title(f"importance of hyperparameters, from {trials} trials{few}", fontsize=10)
    return _drawn(figure)


def told(trial: Trial, objective: Objective) -> str:
    """A trial in a line."""
    value = "no value" if trial.objective is None else f"{trial.objective:.5g}"
    return f"trial {trial.number}, {trial.status}: {objective.metric} = {value}; {values_of(trial.values)}"


def _bare(axes: Axes, *sides: str) -> None:
    """Take lines of the frame away, and with the left one its ticks."""
    for side in sides:
        axes.spines[side].set_visible(False)
    if "left" in sides:
        axes.set_yticks([])


def _height(each: Range, text: str) -> float:
    if isinstance(each, Categorical):
        return 0.5 if len(each.choices) == 1 else each.choices.index(text) / (len(each.choices) - 1)
    return min(max(each.read(text), 0.0), 1.0)


def _ticks(each: Range) -> dict[float, str]:
    if isinstance(each, Categorical):
        return {_height(each, choice): shown(choice) for choice in each.choices}
    return {at: shown(each.write(at)) for at in _TICKS}


def _drawn(figure: Figure) -> Picture:
    png, svg = io.BytesIO(), io.StringIO()
    with mpl.rc_context(_STILL):
        figure.savefig(png, format="png", dpi=_DPI)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    text = svg.getvalue()
    return Picture(png=png.getvalue(), svg=text[text.index("<svg") :])
