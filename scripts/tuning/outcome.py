"""What a sweep leaves in a folder: pictures, a page, and the best request, ready to be submitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.tuning.plan import Plan
from local_mode.tuning.search import importance
from local_mode.tuning.trial import Seen as Known
from scripts.environments.environment import write_whole
from scripts.tuning import best, figures
from scripts.tuning.page import Page
from scripts.tuning.table import values_of
from scripts.tuning.trials import Seen

BEST, PAGE, PARALLEL, IMPORTANCE = "best.yaml", "sweep.html", "parallel_coordinates.png", "importance.png"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep that has ended."""

    document: Mapping[str, Any]
    """As a person wrote it."""
    plan: Plan
    seen: Seen


def leave(sweep: Sweep, folder: Path) -> list[Path]:
    """Writes what can be said of it; the files, none where no trial has a value.

    Of several definitions the pictures show the best trial's, or the first: others have other hyperparameters.
    """
    chosen = sweep.seen.best
    definition = next(
        (each for each in sweep.plan.definitions if chosen and each.name == chosen.definition),
        sweep.plan.definitions[0],
    )
    trials = [trial for trial in sweep.seen.trials if trial.definition == definition.name]
    if not any(trial.objective is not None for trial in trials):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    left = []
    drawn = {PARALLEL: figures.parallel(definition.space, trials, chosen, definition.objective)}
    known = [Known(values=trial.values, objective=trial.objective) for trial in trials if trial.counts]
    if found := importance(definition.space, known, maximize=definition.objective.maximize):
        drawn[IMPORTANCE] = figures.importance(found, len(known))
    for name, picture in drawn.items():
        (folder / name).write_bytes(picture.png)
        left.append(folder / name)
    headings = {PARALLEL: "Trials as lines", IMPORTANCE: "Importance"}
    page = Page(
        title=sweep.plan.name,
        summary=summary(sweep),
        pictures={headings[name]: picture.svg for name, picture in drawn.items()},
        trials=trials,
        best=chosen,
        objective=definition.objective,
    )
    write_whole(folder / PAGE, str(page))
    left.append(folder / PAGE)
    if chosen:
        about = (
            f"The best of {sweep.plan.name}: trial {chosen.number}, {definition.objective.metric} = {chosen.objective}"
        )
        best.write(folder / BEST, best.job(sweep.document, chosen), about)
        left.append(folder / BEST)
    return left


def summary(sweep: Sweep) -> str:
    """How it ended, in a line."""
    seen = sweep.seen
    ended = f"{sweep.plan.strategy}, {seen.status}, {len(seen.trials)} of {sweep.plan.jobs} trials"
    if seen.best is None or seen.best.objective is None:
        return f"{ended}; no trial has a value"
    metric = sweep.plan.definitions[0].objective.metric
    return (
        f"{ended}; best {metric} = {seen.best.objective:.5g}: trial {seen.best.number}, {values_of(seen.best.values)}"
    )
