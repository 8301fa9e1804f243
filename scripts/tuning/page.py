"""A sweep as one HTML file that needs no other: its pictures, and every trial in a table."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_mode.tuning.objective import Objective
from scripts.tuning.figures import ID, told
from scripts.tuning.table import shown
from scripts.tuning.trials import Trial

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; }
svg { max-width: 100%; height: auto; }
g[id^="trial-"]:hover path { stroke-width: 5 !important; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
tr.best { background: #fff2cc; }
"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is shown of a sweep."""

    title: str
    summary: str
    pictures: Mapping[str, str]
    """SVG by heading."""
    trials: Sequence[Trial]
    best: Trial | None
    objective: Objective

    def __str__(self) -> str:
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.values))
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in ("trial", "status", self.objective.metric, *names))
        rows = "\n".join(self._row(trial, names) for trial in self.trials)
        shown_ = "\n".join(f"<h2>{html.escape(head)}</h2>\n{self._titled(svg)}" for head, svg in self.pictures.items())
        title = html.escape(self.title)
        return (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
            f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n<p>{html.escape(self.summary)}</p>\n{shown_}\n"
            f"<h2>Trials</h2>\n<table>\n<tr>{heads}</tr>\n{rows}\n</table>\n</html>\n"
        )

    def _row(self, trial: Trial, names: Sequence[str]) -> str:
        value = "-" if trial.objective is None else f"{trial.objective:.5g}"
        cells = [str(trial.number), trial.status, value, *(shown(trial.values.get(name, "-")) for name in names)]
        kind = ' class="best"' if self.best and trial.number == self.best.number else ""
        return f"<tr{kind}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"

    def _titled(self, svg: str) -> str:
        """The picture with what a pointer on a trial's line is told."""
        lines = {trial.number: html.escape(told(trial, self.objective)) for trial in self.trials}
        return re.sub(rf'<g id="{ID}(\d+)">', lambda found: f"{found[0]}<title>{lines[int(found[1])]}</title>", svg)
