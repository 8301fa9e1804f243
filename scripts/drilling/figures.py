"""The picture of a drill: both loss curves over one another, and below them what each attempt trained."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scripts.drilling.checking import Outcome
from scripts.drilling.course import Course
from scripts.drilling.moments import Kind

_WHOLE, _PARTS = "#9ecae1", "#08306b"
_COLOURS = {Kind.SPOT: "#2ca02c", Kind.STOP: "#1f77b4", Kind.KILL: "#d62728", Kind.TEAR: "#9467bd"}
_WORDS = {
    Kind.SPOT: "spot instance taken away",
    Kind.STOP: "stopped",
    Kind.KILL: "killed (SIGKILL)",
    Kind.TEAR: "killed, newest checkpoint torn",
}
_INCHES = (10.0, 6.0)
_ROW_INCHES = 0.09
"""Of each attempt beyond the first ten."""
_DPI = 120
_SMOOTH = 0.04
"""Share of all steps that a point's mean is over."""


def draw(outcome: Outcome, title: str) -> bytes:
    """A PNG."""
    attempts = outcome.course.attempts
    size = (_INCHES[0], _INCHES[1] + _ROW_INCHES * max(0, len(attempts) - 10))
    figure = Figure(figsize=size, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2 + max(0, len(attempts) - 10) / 8))
    _draw_losses(above, outcome)
    _draw_attempts(below, outcome)
    above.set_title(title, fontsize=11)
    below.set_xlim(0, outcome.steps)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI)
    return png.getvalue()


def _draw_losses(axes: Axes, outcome: Outcome) -> None:
    window = max(1, round(_SMOOTH * outcome.steps))
    whole, parts = _losses(outcome.whole), _losses(outcome.course)
    axes.plot(list(whole), list(whole.values()), color=_WHOLE, linewidth=0.6, alpha=0.6, zorder=1)
    # The one is to be seen on both sides of the other.
    steps, means = _smooth(whole, window)
    room = (max(means) - min(means)) or 1.0
    axes.set_ylim(min(means) - 0.3 * room, max(means) + 0.5 * room)  # one step far off is not to flatten all others
    axes.plot(steps, means, color=_WHOLE, linewidth=6, label="uninterrupted", zorder=2)
    axes.plot(*_smooth(parts, window), color=_PARTS, linewidth=1.4, label="interrupted and gone on with", zorder=3)
    for attempt in outcome.course.attempts:
        if attempt.ended_by is not None:
            axes.axvline(
                attempt.span[1], color=_COLOURS[attempt.ended_by], linewidth=1, linestyle=(0, (4, 2)), zorder=0
            )
    axes.set_ylabel(f"training loss, mean of {window} steps" if window > 1 else "training loss")
    axes.legend(loc="upper right", fontsize=9, framealpha=0.9)
    _bare(axes)


def _draw_attempts(axes: Axes, outcome: Outcome) -> None:
    """A row for each attempt, from the step that it went on from to its last."""
    shown: set[Kind] = set()
    attempts = outcome.course.attempts
    for number, attempt in enumerate(attempts, start=1):
        begin, end = attempt.span
        axes.plot([begin, end], [number] * 2, color=_PARTS, linewidth=3, solid_capstyle="butt")
        axes.plot(begin, number, marker="|", color=_PARTS, markersize=7)
        if kind := attempt.ended_by:
            label = _WORDS[kind] if kind not in shown else None
            shown.add(kind)
            axes.plot(
                end, number,
                marker="X" if kind in (Kind.KILL, Kind.TEAR) else "o", color=_COLOURS[kind],
                markersize=7, linestyle="none", label=label, zorder=3, clip_on=False,
            )  # fmt: skip
    axes.set_ylim(len(attempts) + 0.7, 0.3)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("attempt")
    axes.set_xlabel("optimizer step; a row that begins left of where the one above it ends trains those steps again")
    if shown:
        axes.legend(loc="upper right", fontsize=9, framealpha=0.9)
    _bare(axes)


def _losses(course: Course) -> dict[int, float]:
    """By step; of a step that was trained again, the last."""
    found = {step: float(loss) for attempt in course.attempts for step, loss in attempt.steps}
    return dict(sorted(found.items()))


def _smooth(losses: dict[int, float], window: int) -> tuple[list[int], list[float]]:
    """Means over the steps before, as many as there are."""
    steps, values = list(losses), list(losses.values())
    parts = [values[max(0, end - window) : end] for end in range(1, len(values) + 1)]
    return steps, [sum(part) / len(part) for part in parts]


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
