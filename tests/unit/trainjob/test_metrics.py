import math
import re
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainjob import metrics

PREFIXES = ["", "[1,mpirank:0,algo-1]<stdout>:", "[1,mpirank:0,algo-1]<stdout>: ", "2026-01-01 10:00:00 INFO "]
MEASURED = st.dictionaries(st.sampled_from(metrics.NAMES), st.floats(), min_size=1)


def found(line: str, names: tuple[str, ...] = metrics.NAMES) -> dict[str, float]:
    values = {}
    for definition in metrics.definitions(names):
        matches = re.findall(definition["Regex"], line)
        assert len(matches) <= 1
        if matches:
            values[definition["Name"]] = float(matches[0])
    return values


def test_a_line_has_its_context_first_and_a_semicolon_after_each_metric() -> None:
    line = metrics.line({"train:loss": 1.23449, "train:accuracy": 0.5532}, epoch=3, seconds=4.25)
    assert line == "epoch=3 seconds=4.25 train:loss=1.23449; train:accuracy=0.5532;"


@given(MEASURED, st.sampled_from(PREFIXES), st.booleans())
def test_the_definitions_find_exactly_what_a_line_says(values: dict[str, float], prefix: str, described: bool) -> None:
    context: dict[str, float | str] = {"epoch": 3, "phase": "last"} if described else {}
    line = metrics.line(values, **context)
    read = found(prefix + line + "\n")
    assert read.keys() == values.keys()
    for name, value in values.items():
        if math.isnan(value):
            assert math.isnan(read[name])
        else:
            assert read[name] == pytest.approx(value, rel=1e-5)


@given(MEASURED, st.data())
def test_a_line_cut_short_gives_no_wrong_number(values: dict[str, float], data: st.DataObject) -> None:
    line = metrics.line(values)
    whole, cut = found(line), line[: data.draw(st.integers(0, len(line)))]
    for name, value in found(cut).items():
        assert value == whole[name] or math.isnan(value)


def test_a_name_that_ends_like_another_is_not_taken_for_it() -> None:
    names = ("loss", "train:loss", "a.c")
    assert found(metrics.line({"train:loss": 1, "abc": 5}), names) == {"train:loss": 1.0}


def test_context_of_a_metrics_name_is_no_metric() -> None:
    context: dict[str, float | str] = {"train:accuracy": 3, "mode": "x"}
    assert found(metrics.line({"train:loss": 1}, **context)) == {"train:loss": 1.0}


@pytest.mark.parametrize("text", ["two words", "a=b", "train:loss=5;", ""])
def test_context_that_could_pass_for_a_metric_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'{text}' cannot stand in a metrics line")):
        metrics.line({"train:loss": 1}, note=text)


def test_an_emitted_line_arrives_while_the_program_still_runs() -> None:
    program = "from trainjob import metrics; metrics.emit({'train:loss': 0.5}, epoch=1); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "epoch=1 train:loss=0.5;\n"
        assert child.poll() is None
        child.communicate("\n", timeout=10)


def test_an_unbuffered_line_is_written_in_one_piece() -> None:
    program = "from trainjob import metrics; metrics.emit({'train:loss': 0.5}, epoch=1)"
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps apart what is written apart
    with ours, childs:
        subprocess.run([sys.executable, "-u", "-c", program], stdout=childs, timeout=20, check=True)
        assert ours.recv(100) == b"epoch=1 train:loss=0.5;\n"


def test_the_expressions_are_short_enough_for_the_request() -> None:
    assert all(len(definition["Regex"]) <= 500 for definition in metrics.definitions())
