"""Writes docs/conformance.md: known deviations first, then the request's fields, then every row."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.contract import request_fields
from tests.contract.conformance import FAIL, GRADES, NOT_ENFORCED, NOT_RUN, PASS, RUNNERS, Results, Row

DEVIATIONS = Path(__file__).parent / "deviations.toml"
TITLES = {
    "1": "1 How the container is started",
    "2": "2 The /opt/ml tree",
    "3": "3 Input data",
    "4": "4 Life cycle, logs and metrics",
    "command line": "local_mode's own command line",
    "endpoint": "local_mode's own endpoint",
    "security": "Who may call the endpoint, and what may leave its folder",
}
_HEAD = """# Conformance

What of SageMaker's platform contract `local_mode` keeps, where it departs from it, and how each was shown. Written by
`make conformance`, which runs `tests/contract/`; the deviations come from `tests/contract/deviations.toml`.

How much a row is worth is said by its evidence: *documented* (AWS's documentation or API model), *observed* (captured
from hosted jobs), *read in AWS's code*, *reported by users*. What AWS leaves open is *our choice*, and no statement
about AWS.
"""
_FIELDS = """## Fields of CreateTrainingJob

Every member of the API model's request, and what becomes of it here. *executed*: it has its effect on the job;
*recorded only*: kept and answered by Describe where Describe has it, of no effect; *refused*: an error, never dropped.
"""


def deviations() -> list[dict[str, str]]:
    """What departs from the contract: section, here, why."""
    found: list[dict[str, str]] = tomllib.loads(DEVIATIONS.read_text(encoding="utf-8"))["deviation"]
    return found


def render(results: Results) -> str:
    """The whole document."""
    parts = [_HEAD, *_summary(results), *_deviations(results), *_fields(), *_rows(results)]
    return "\n".join(parts).rstrip() + "\n"


def line(row: Row, results: Results) -> str:
    """A row as the document has it."""
    ends = (results.of(row, runner) for runner in RUNNERS)
    return _line([row.section, row.statement, GRADES[row.grade], *ends])


def named(row: Row) -> str:
    """The part of a row's line that does not depend on how it ended."""
    return _line([row.section, row.statement, GRADES[row.grade]])


def _line(cells: Iterable[Any]) -> str:
    texts = (" ".join(str(item).split()).replace("|", "\\|") for item in cells)
    return f"| {' | '.join(texts)} |"


def _table(head: Iterable[str], lines: Iterable[Iterable[Any]]) -> Iterator[str]:
    names = list(head)
    yield _line(names)
    yield f"|{'---|' * len(names)}"
    yield from map(_line, lines)


def _summary(results: Results) -> Iterator[str]:
    rows = results.all_rows()
    without = sum(PASS in {results.of(row, runner) for runner in RUNNERS if runner != "docker"} for row in rows)
    numbered = sum(row.section[0].isdigit() for row in rows)
    yield "## Summary\n"
    yield f"{len(rows)} rows: {numbered} on the platform contract, {len(rows) - numbered} on promises of our own."
    yield f"{without} of them pass with no Docker engine present. {len(deviations())} known deviations.\n"
    head = ["runner", PASS, FAIL, NOT_ENFORCED, NOT_RUN]
    counts = ((runner, Counter(results.of(row, runner) for row in rows)) for runner in RUNNERS)
    yield from _table(head, ([runner, *(count[name] for name in head[1:])] for runner, count in counts))
    yield "\n`endpoint`: shown through AWS's API, jobs as processes. `any`: decided before there is a runner.\n"


def _deviations(results: Results) -> Iterator[str]:
    yield "## Known deviations\n"
    yield "What a hosted job would, or may, find otherwise.\n"
    yield from _table(["section", "here", "why"], ([item[key] for key in ("section", "here", "why")]
                                                   for item in deviations()))  # fmt: skip
    rows = results.all_rows()
    if failed := [row for row in rows if FAIL in {results.of(row, runner) for runner in RUNNERS}]:
        yield "\n### Rows that fail\n"
        yield from (f"- {row.section} {row.statement}" for row in failed)
    for runner, reasons in sorted(results.reasons.items()):
        yield f"\n### Not enforced by the runner `{runner}`\n"
        yield from (f"- {row.section} {row.statement}" for row in rows if results.of(row, runner) == NOT_ENFORCED)
        yield f"\nWhy: {'; '.join(sorted(reasons))}."
    yield ""


def _fields() -> Iterator[str]:
    yield _FIELDS
    fields = request_fields.fields()
    counts = Counter(item.treatment for item in fields)
    yield f"{', '.join(f'{counts[name]} {name}' for name in request_fields.TREATMENTS)}.\n"
    yield from _table(["field", "treatment", "but"], ([f"`{item.path}`", item.treatment, item.note] for item in fields))
    yield ""


def _rows(results: Results) -> Iterator[str]:
    for group, rows in groupby(results.all_rows(), lambda row: row.section.partition(".")[0]):
        yield f"## {TITLES.get(group, group)}\n"
        yield from _table(["section", "statement", "evidence", *RUNNERS], ())
        yield from (line(row, results) for row in rows)
        yield ""
