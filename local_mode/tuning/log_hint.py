"""What a log has in place of a metric that was not found in it."""

import re
from collections.abc import Iterable

from local_mode.jobs.trace import MARK

_SHOWN = 300
"""Characters of a line."""
_WORD = re.compile(r"[a-z0-9]+")


def hint(metric: str, regex: str, lines: Iterable[str], job: str) -> str:
    """Which regular expression matched nothing, and the line of the log that looks most like what it was to find."""
    found = likely(metric, lines)
    shown = f"the line most like it is {found[:_SHOWN]!r}" if found else "the log has no line"
    return f"The regular expression {regex!r} of metric {metric!r} matched no line of the log of {job}; {shown}."


def likely(metric: str, lines: Iterable[str]) -> str | None:
    """The line with most of the metric's words and a number in it; of equal ones the last."""
    words = set(_WORD.findall(metric.lower()))
    best: tuple[int, bool] | None = None
    found = None
    for line in lines:
        text = line.strip()
        if not text or text.startswith(MARK):
            continue
        mark = (len(words & set(_WORD.findall(text.lower()))), any(letter.isdigit() for letter in text))
        if best is None or mark >= best:
            best, found = mark, text
    return found
