import io

import pytest

from scripts.tuning.screen import Screen
from scripts.tuning.table import Row, Table, shown, values_of
from scripts.tuning.trials import Seen
from tests.unit.scripts.tuning.fake_tuning import ACCURACY, BEGUN, trial

TABLE = Table(objective=ACCURACY, names=("learning_rate", "batch_size"), jobs=6, parallel=2)


def seen(*trials) -> Seen:
    known = [each for each in trials if each.counts]
    best = max(known, key=lambda each: each.objective, default=None)
    return Seen(described={"BestTrainingJob": {"TrainingJobName": best.name}} if best else {}, trials=trials)


def test_columns_of_a_row_stand_below_their_names():
    (row,) = TABLE.rows(seen(trial(1, objective=0.4312)), BEGUN)

    assert TABLE.header == "trial  status        time  validation:accuracy       best  learning_rate  batch_size"
    assert row.text == "    1  Completed     60 s               0.4312     0.4312        0.01235          64"


def test_best_of_a_row_is_the_best_by_then():
    rows = TABLE.rows(seen(trial(1, objective=0.5), trial(2, objective=0.75), trial(3, objective=0.25)), BEGUN + 999)

    assert [row.text.split()[5] for row in rows] == ["0.5", "0.75", "0.75"]


def test_value_of_a_running_trial_is_marked_as_not_the_last():
    (row,) = TABLE.rows(seen(trial(1, "InProgress", 0.3)), BEGUN + 15)

    assert row.text.split()[:6] == ["1", "InProgress", "5", "s", "0.3..", "-"]


@pytest.mark.parametrize(
    ("trials", "now", "left"),
    [
        ([trial(1, "InProgress"), trial(2, "InProgress")], 0, None),
        # 4 to come at 60 s, two at a time; the second has 50 s to go.
        ([trial(1, objective=0.5), trial(2, "InProgress")], 30, (50 + 4 * 60) / 2),
        ([trial(number, objective=0.5) for number in range(1, 6)] + [trial(6, "InProgress")], 90, 30),
        ([trial(number, objective=0.5) for number in range(1, 7)], 0, 0),
    ],
)
def test_time_left_is_that_of_trials_like_those_before(trials, now, left):
    assert TABLE.left(trials, BEGUN + now) == left


def test_standing_tells_how_many_ended_the_best_and_the_time():
    line = TABLE.standing(seen(trial(1, objective=0.5), trial(2, "InProgress")), BEGUN + 30)

    assert line == "1 of 6 ended, 1 run; best validation:accuracy = 0.5, trial 1; about 2 min left"
    assert TABLE.standing(seen(trial(1, "InProgress")), BEGUN) == (
        "0 of 6 ended, 1 run; time left not known before one has ended"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("0.000123456", "0.0001235"), ("64", "64"), ('"adam"', "adam"), ("adam", "adam"), ("true", "true")],
)
def test_values_are_shown_as_a_person_reads_them(text: str, said: str):
    assert shown(text) == said
    assert values_of({"a": text}) == f"a={said}"


def row(number: int, status: str, text: str) -> Row:
    return Row(number=number, status=status, text=text, has_ended=status == "Completed")


ROWS = [row(1, "InProgress", "one"), row(2, "InProgress", "two")]
LATER = [row(1, "Completed", "one, over"), row(2, "InProgress", "two, at 5 s")]


def test_log_has_a_line_for_each_beginning_and_each_end():
    file = io.StringIO()
    screen = Screen(file, "header")

    for rows in (ROWS, ROWS, LATER, LATER):
        screen.show(rows, "standing")

    assert file.getvalue().splitlines() == ["header", "one", "two", "one, over", "       standing"]


def test_log_tells_how_the_sweep_stands_after_a_trial_too_short_to_be_seen_running():
    file = io.StringIO()

    Screen(file, "header").show([row(1, "Completed", "one")], "standing")

    assert file.getvalue().splitlines() == ["header", "one", "       standing"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_the_table_over_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "12")
    file = Terminal()
    screen = Screen(file, "header")

    screen.show(ROWS, "standing")
    screen.show(LATER, "standing")

    first, second = file.getvalue().split("\x1b[4A")
    assert first == "header\x1b[K\none\x1b[K\ntwo\x1b[K\nstanding\x1b[K\n\x1b[J"
    assert "two, at 5 s\x1b[K" in second


def test_terminal_never_has_a_line_that_would_wrap(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "8")
    file = Terminal()

    Screen(file, "header").show(LATER, "standing")

    assert max(len(line.replace("\x1b[K", "").replace("\x1b[J", "")) for line in file.getvalue().splitlines()) == 7


def test_terminal_leaves_out_what_has_no_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LINES", "9")
    file = Terminal()

    Screen(file, "header").show([row(number, "Completed", f"row {number}") for number in range(1, 21)], "standing")

    assert file.getvalue().count("\n") == 8
    assert "15 more above" in file.getvalue()
    assert "row 20" in file.getvalue()
