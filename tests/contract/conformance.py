"""Collects what the contract suite shows, row by row; a pytest plugin, registered in tests/conftest.py.

A row is one statement of the platform contract, marked where it is tested:

    @pytest.mark.contract("3.7", "D", "a reader that closes early ends the epoch")    section, grade, statement
    @pytest.mark.contract("3.7", "D")                                                  the test's name is the statement
                                         (of `test_3_3_and_3_4_...` the section is 3.3, whatever the mark says)
    pytestmark = pytest.mark.contract("3.7", "D")                                      ... for a whole module

A statement may name parameters of its test in braces; several marks on one test are several rows. With
`--conformance FILE` the rows and how they ended on each runner are written there; without it nothing is written.
"""

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path

import pytest

MARK = "contract"
GRADES = {
    "D": "documented",
    "O": "observed",
    "C": "read in AWS's code",
    "R": "reported by users",
    "I": "our choice (inferred)",
    "U": "our choice",
}
RUNNERS = ("docker", "bubblewrap", "plain", "endpoint", "any")
"""`endpoint`: shown through AWS's API; `any`: decided before there is a runner."""
PASS, FAIL, NOT_ENFORCED, NOT_RUN = "pass", "FAIL", "not enforced", "not run"
NOT_ENFORCED_PREFIX = "not enforced: "
SUITE = Path(__file__).parent


@dataclass(frozen=True, order=True)
class Row:
    """One statement."""

    section: str
    statement: str
    grade: str


@dataclass
class Results:
    """What came of every row."""

    rows: dict[str, tuple[list[Row], str]] = field(default_factory=dict)
    """Rows and runner of each test, by its id."""
    outcomes: dict[tuple[Row, str], set[str]] = field(default_factory=dict)
    reasons: dict[str, set[str]] = field(default_factory=dict)
    """Why a runner does not enforce something, by runner."""
    unmarked: list[str] = field(default_factory=list)
    is_whole: bool = False
    """Whether the whole suite was collected, and not a part of it."""

    def add(self, test: str, outcome: str, reason: str = "") -> None:
        """Take the end of a test."""
        rows, runner = self.rows[test]
        for row in rows:
            self.outcomes.setdefault((row, runner), set()).add(outcome)
        if outcome == NOT_ENFORCED:
            self.reasons.setdefault(runner, set()).add(reason)

    def of(self, row: Row, runner: str) -> str:
        """How a row ended on a runner; the worst end of several tests counts."""
        seen = self.outcomes.get((row, runner), set())
        return next((outcome for outcome in (FAIL, NOT_ENFORCED, PASS, NOT_RUN) if outcome in seen), "")

    def all_rows(self) -> list[Row]:
        """Every row once, by section."""
        rows = {row for rows, _ in self.rows.values() for row in rows}
        return sorted(rows, key=lambda row: (_numbers(row.section), row.statement))


RESULTS = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file that the table goes to."""
    parser.addoption("--conformance", metavar="FILE", help="write the table of the contract suite's rows to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Start with no results."""
    config.stash[RESULTS] = Results()
    config.pluginmanager.register(Collector(config.stash[RESULTS]), "conformance-collector")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note the rows of every test of the suite, before any is deselected."""
    results = config.stash[RESULTS]
    for item in items:
        if item.path.parent == SUITE:
            if rows := list(rows_of(item)):
                results.rows[item.nodeid] = rows, runner_of(item)
            else:
                results.unmarked.append(item.nodeid)
    collected = {item.path for item in items if item.path.parent == SUITE}
    results.is_whole = collected >= set(SUITE.glob("test_*.py")) and not any("::" in word for word in config.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Send along with each report what came of its rows: it may be read in another process than this one."""
    report = yield
    if item.nodeid in (shown := item.config.stash[RESULTS].rows):
        end = None
        if report.failed:
            end = FAIL, ""
        elif report.skipped:
            reason = str(call.excinfo.value) if call.excinfo else ""
            is_limit = reason.startswith(NOT_ENFORCED_PREFIX)
            end = (NOT_ENFORCED if is_limit else NOT_RUN), reason.removeprefix(NOT_ENFORCED_PREFIX)
        elif report.when == "call":
            end = PASS, ""
        if end:
            rows, runner = shown[item.nodeid]
            report.user_properties.append((MARK, [[astuple(row) for row in rows], runner, *end]))
    return report


class Collector:
    """Reads what the reports bring, also where the tests run in other processes."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the end of a test."""
        for name, value in report.user_properties:
            if name == MARK:
                rows, runner, outcome, reason = value
                self._results.rows[report.nodeid] = [Row(*row) for row in rows], runner
                self._results.add(report.nodeid, outcome, reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table, and print it."""
    results, target = config.stash[RESULTS], config.getoption("--conformance")
    if target is None or hasattr(config, "workerinput"):  # of several processes the one that has all reports
        return
    from tests.contract import conformance_table  # noqa: PLC0415  # needs what this plugin does without

    text = conformance_table.render(results)
    Path(target).write_text(text, encoding="utf-8")
    terminalreporter.write_line(text)
    files = sorted({test.partition("::")[0] for test in results.unmarked})
    if files:
        terminalreporter.write_line(f"tests without a row, in: {', '.join(files)}")
    terminalreporter.write_line(f"{len(results.all_rows())} rows, written to {target}")


def rows_of(item: pytest.Item) -> Iterator[Row]:
    """The rows that a test shows."""
    marks = list(item.iter_markers(MARK))
    named = [mark for mark in marks if len(mark.args) == 3]
    for mark in named or marks[:1]:
        section, grade, *rest = mark.args
        if grade not in GRADES:
            raise pytest.UsageError(f"{item.nodeid}: grade {grade!r} of a row; it must be one of {', '.join(GRADES)}")
        statement = rest[0] if rest else _sentence(item)
        if not rest and (numbered := re.match(r"test_(\d)_(\d+)_", item.name)):
            section = ".".join(numbered.groups())
        if "{" in statement:
            statement = statement.format(**getattr(item, "callspec").params)  # noqa: B009  # only of parametrised tests
        yield Row(section, f"{statement[:1].upper()}{statement[1:]}", grade)


def runner_of(item: pytest.Item) -> str:
    """Over which runner a test runs; one of RUNNERS."""
    kind = item.callspec.params.get("kind") if hasattr(item, "callspec") else None
    if kind in RUNNERS:
        return str(kind)
    fixtures = getattr(item, "fixturenames", ())
    if "docker_client" in fixtures:
        return "docker"
    return "endpoint" if {"server", "start"} & set(fixtures) else "any"


def not_enforced(reason: str) -> None:
    """End a test whose statement this runner does not enforce, and says so."""
    pytest.skip(f"{NOT_ENFORCED_PREFIX}{reason}")


def _sentence(item: pytest.Item) -> str:
    name = getattr(item, "originalname", item.name)
    return re.sub(r"^test_(\d_\d+_(and_)?)*", "", name).replace("_", " ")


def _numbers(section: str) -> tuple[int, list[int], str]:
    """Sorts 3.10 after 3.9, and words after numbers."""
    if re.fullmatch(r"[\d.]+", section):
        return 0, [int(part) for part in section.split(".")], ""
    return 1, [], section
