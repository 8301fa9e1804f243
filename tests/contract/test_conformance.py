"""The table of conformance itself: complete, up to date, and no stronger than what was shown."""

import re

import pytest

from local_mode.jobs.rules import parse
from tests.contract import request_fields
from tests.contract.conformance import RESULTS, SUITE
from tests.contract.conformance_table import deviations, named

DOCUMENT = SUITE.parents[1] / "docs" / "conformance.md"
TELL = "run `make conformance`"


@pytest.fixture(scope="module")
def lines(request):
    """The document's tables: each line's first three cells."""
    if request.config.getoption("--conformance"):
        pytest.skip("it is about to be written")
    rows = (line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    return ["|".join(re.split(r"(?<!\\)\|", line)[:4]) + "|" for line in rows]


def test_document_names_every_row_of_this_session(request, lines):
    rows = request.config.stash[RESULTS].all_rows()

    assert [named(row) for row in rows if named(row) not in lines] == [], TELL


def test_document_names_no_row_that_is_gone(request, lines):
    results = request.config.stash[RESULTS]
    if not results.is_whole:
        pytest.skip("a part of the suite runs; the whole of it shows this")
    known = {named(row) for row in results.all_rows()} | {
        f"| {item['section']} | {item['here']} | {item['why']} |" for item in deviations()
    }
    rows = [line for line in lines if re.match(r"\| ([1-9]\.\d|security|endpoint|command line) \| (?!\d+ \|)", line)]

    assert [line for line in rows if line not in known] == [], TELL


def test_every_member_of_the_request_is_executed_recorded_or_refused():
    strange = [item.path for item in request_fields.fields() if item.treatment not in request_fields.TREATMENTS]

    assert strange == [], "declare them in local_mode/jobs/request.py"
    assert request_fields.strangers() == [], "CreateTrainingJob has no such member"


def test_fields_of_the_document_are_those_of_the_request(lines):
    fields = [f"| `{item.path}` | {item.treatment} |" for item in request_fields.fields()]

    assert [line for line in fields if not any(other.startswith(line) for other in lines)] == [], TELL


def test_no_field_is_held_to_more_than_the_model_says_without_a_reason():
    assert sorted(request_fields.stricter()) == sorted(request_fields.STRICTER)


def test_values_to_probe_are_of_fields_that_are_there():
    parse(request_fields.REQUEST)
    assert set(request_fields.PROBES) <= {item.path for item in request_fields.fields()}
    assert set(request_fields.NOTES) <= {item.path for item in request_fields.fields()}


def test_deviations_have_section_statement_and_reason():
    for item in deviations():
        assert set(item) == {"section", "here", "why"}
        assert all(item.values())
        assert "|" not in item["here"] + item["why"]


def test_at_least_120_rows_of_the_contract_need_no_engine(request):
    results = request.config.stash[RESULTS]
    if not results.is_whole:
        pytest.skip("a part of the suite runs; the whole of it shows this")
    without = {row for rows, runner in results.rows.values() if runner != "docker" for row in rows}

    assert sum(row.section[0].isdigit() for row in without) >= 120
