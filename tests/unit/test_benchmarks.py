"""The form of the benchmarks: targets in the JSON line, and an exit code where one is missed and asked for."""

import json

import pytest

from benchmarks.rounds import Target, report

FIGURES = {"ours": [1.0, 2.0, 3.0], "theirs": [4.0, 4.0, 4.0]}
TARGETS = {"ours_vs_theirs": Target(most=0.5), "speed": Target(least=4), "ours": Target(most=1.5)}


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_line_says_which_targets_are_met(capsys):
    report("name", "s", FIGURES, {"ours_vs_theirs": 0.5}, TARGETS, speed=4)

    assert last_line(capsys) == {
        "benchmark": "name",
        "ratios": {"ours_vs_theirs": 0.5},
        "values": {"ours": 2.0, "theirs": 4.0, "speed": 4},
        "rounds": 3,
        "targets": {
            "ours_vs_theirs": {"most": 0.5, "met": True},
            "speed": {"least": 4, "met": True},
            "ours": {"most": 1.5, "met": False},
        },
    }


def test_missed_target_is_an_exit_code_where_it_is_asked_for(capsys):
    with pytest.raises(SystemExit, match="missed: speed, ours"):
        report("name", "s", FIGURES, {"ours_vs_theirs": 0.5}, TARGETS, check=True, speed=3.9)
    assert not last_line(capsys)["targets"]["speed"]["met"]

    report("name", "s", FIGURES, {"ours_vs_theirs": 0.5}, {"speed": Target(least=4)}, check=True, speed=4.1)


def test_benchmark_without_targets_has_the_line_it_had(capsys):
    report("name", "s", FIGURES, {})

    assert set(last_line(capsys)) == {"benchmark", "ratios", "values", "rounds"}
