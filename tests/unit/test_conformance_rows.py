"""The plugin behind docs/conformance.md: which rows a test shows, and what counts when several tests show one."""

from types import SimpleNamespace

import pytest

from tests.contract.conformance import FAIL, NOT_ENFORCED, NOT_RUN, PASS, Results, Row, not_enforced, rows_of, runner_of


def item(name, *marks, parameters=None, fixtures=()):
    """A collected test as the plugin sees it; marks closest first."""
    made = SimpleNamespace(
        name=name,
        originalname=name,
        nodeid=f"tests/contract/test_x.py::{name}",
        fixturenames=fixtures,
        iter_markers=lambda _: [pytest.mark.contract(*arguments).mark for arguments in marks],
    )
    if parameters is not None:
        made.callspec = SimpleNamespace(params=parameters)
    return made


@pytest.mark.parametrize(
    ("test", "rows"),
    [
        (item("test_a_b", ("1.1", "D", "it holds"), ("2", "U")), [Row("1.1", "It holds", "D")]),
        (item("test_a_b", ("1.1", "D"), ("2", "U")), [Row("1.1", "A b", "D")]),
        (item("test_2_2_and_3_3_a_b", ("1.1", "D")), [Row("2.2", "A b", "D")]),
        (item("test_2_2_a_b", ("1.1", "D", "it holds")), [Row("1.1", "It holds", "D")]),
        (item("test_a", ("1", "D", "{x} is {y!r}"), parameters={"x": "Z", "y": ""}), [Row("1", "Z is ''", "D")]),
        (item("test_a", ("1", "D", "one"), ("2", "I", "two")), [Row("1", "One", "D"), Row("2", "Two", "I")]),
        (item("test_a"), []),
    ],
)
def test_marks_and_names_give_rows(test, rows):
    assert list(rows_of(test)) == rows


def test_unknown_grade_is_refused_with_the_test():
    with pytest.raises(pytest.UsageError, match="test_x.py::test_a: grade 'A' of a row; it must be one of D, O"):
        list(rows_of(item("test_a", ("1.1", "A", "x"))))


@pytest.mark.parametrize(
    ("test", "runner"),
    [
        (item("test_a", parameters={"kind": "plain"}, fixtures=("lab", "kind")), "plain"),
        (item("test_a", fixtures=("server",)), "endpoint"),
        (item("test_a", fixtures=("docker_client", "tmp_path")), "docker"),
        (item("test_a", parameters={"x": 1}), "any"),
    ],
)
def test_runner_is_told_by_what_a_test_uses(test, runner):
    assert runner_of(test) == runner


@pytest.mark.parametrize(
    ("ends", "counts"),
    [
        ([PASS, FAIL, NOT_ENFORCED], FAIL),
        ([PASS, NOT_ENFORCED, NOT_RUN], NOT_ENFORCED),
        ([PASS, NOT_RUN], PASS),
        ([NOT_RUN], NOT_RUN),
        ([], ""),
    ],
)
def test_worst_end_of_a_row_counts(ends, counts):
    row, results = Row("1.1", "It holds", "D"), Results()
    results.rows = {str(number): ([row], "plain") for number, _ in enumerate(ends)}
    for number, end in enumerate(ends):
        results.add(str(number), end, "why")

    assert results.of(row, "plain") == counts
    assert results.of(row, "docker") == ""


def test_rows_are_sorted_by_the_numbers_of_their_sections():
    results = Results()
    rows = [Row(section, "x", "D") for section in ("security", "3.10", "3.9", "1.1")]
    results.rows = {"test": (rows, "any")}

    assert [row.section for row in results.all_rows()] == ["1.1", "3.9", "3.10", "security"]


def test_what_is_not_enforced_ends_the_test_with_its_reason():
    with pytest.raises(pytest.skip.Exception, match="not enforced: no sandbox"):
        not_enforced("no sandbox")
