import io
from typing import Any

import pytest

from scripts.tuning import following as module
from scripts.tuning import request as requests
from scripts.tuning.following import Course, Following
from scripts.tuning.missing import without_metric
from scripts.tuning.screen import Screen
from scripts.tuning.table import Table
from tests.unit.scripts.tuning.fake_tuning import ACCURACY, FakeSageMaker, place, summary, trial
from tests.unit.scripts.tuning.test_sweep_request import whole, written


def follow(sagemaker: FakeSageMaker, **logs: list[str]) -> tuple[Course, str]:
    file = io.StringIO()
    document = {**written("pytorch-cifar10"), "HyperParameterTuningJobName": "sweep"}
    plan = requests.check(whole(document))
    table = Table(objective=ACCURACY, names=("learning_rate",), jobs=6, parallel=2)
    followed = Following(place(sagemaker, **logs), plan, table, Screen(file, table.header))
    return followed.follow(every=0.001, most=5), file.getvalue()


def test_sweep_is_followed_to_its_end():
    sagemaker = FakeSageMaker(
        ("InProgress", [summary(1, "InProgress")]),
        ("InProgress", [summary(1, value=0.5), summary(2, "InProgress")]),
        ("Completed", [summary(1, value=0.5), summary(2, value=0.75)]),
    )

    course, said = follow(sagemaker)

    assert (course.has_ended, course.missing) == (True, None)
    assert course.seen.best
    assert course.seen.best.number == 2
    assert said.count("Completed") == 2
    assert sagemaker.stopped == []


def test_sweep_that_does_not_end_is_followed_for_a_while_only():
    document = {**written("pytorch-cifar10"), "HyperParameterTuningJobName": "sweep"}
    table = Table(objective=ACCURACY, names=(), jobs=6, parallel=2)
    sagemaker = FakeSageMaker(("InProgress", []))
    followed = Following(place(sagemaker), requests.check(whole(document)), table, Screen(io.StringIO(), ""))

    assert not followed.follow(every=0.001, most=0.01).has_ended


def interrupt(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Has the first waits end by Ctrl-C."""
    left = [True] * times

    def sleep(_: float) -> None:
        if left:
            left.pop()
            raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", sleep)


@pytest.mark.parametrize("refuses", [False, True])
def test_interrupt_stops_the_sweep_and_waits_for_its_end(monkeypatch: pytest.MonkeyPatch, refuses: bool):
    sagemaker = FakeSageMaker(
        ("InProgress", [summary(1, "InProgress")]), ("Stopping", [summary(1, "Stopping")]),
        ("Stopped", [summary(1, "Stopped", value=0.5)]),
    )  # fmt: skip
    sagemaker.refuses_to_stop = refuses  # it has ended between a look and the interrupt
    interrupt(monkeypatch, 1)

    course, said = follow(sagemaker)

    assert course.seen.status == "Stopped"
    assert sagemaker.stopped == ([] if refuses else ["sweep"])
    assert "stopping the sweep" in said


def test_second_interrupt_leaves_the_sweep_as_it_is(monkeypatch: pytest.MonkeyPatch):
    sagemaker = FakeSageMaker(("InProgress", [summary(1, "InProgress")]))
    interrupt(monkeypatch, 2)

    with pytest.raises(KeyboardInterrupt):
        follow(sagemaker)
    assert sagemaker.stopped == ["sweep"]


def test_metric_that_the_first_trial_has_not_stops_the_sweep_with_the_line_it_should_have_matched():
    sagemaker = FakeSageMaker(
        ("InProgress", [summary(1), summary(2, "InProgress")]), ("Stopped", [summary(1), summary(2, "Stopped")])
    )
    lines = ["epoch 1 begins", "epoch=1 validation accuracy 0.31", "done"]

    course, _ = follow(sagemaker, sweep_001_0123abcd=lines)

    assert sagemaker.stopped == ["sweep"]
    assert course.missing is not None
    told = str(course.missing)
    assert "nothing in the log of sweep-001-0123abcd matches the metric validation:accuracy" in told
    assert "should have matched  epoch=1 validation accuracy 0.31" in told
    assert r"validation:accuracy=(-?" in told


def test_log_that_is_not_there_is_called_that():
    course, _ = follow(FakeSageMaker(("InProgress", [summary(1)]), ("Stopped", [summary(1)])))

    assert "(the log has no line)" in str(course.missing)


@pytest.mark.parametrize(
    ("trials", "found"),
    [
        ([trial(1), trial(2, "InProgress")], 1),
        ([trial(1), trial(2, "InProgress", 0.5)], None),
        ([trial(1, "Failed"), trial(2, "Stopped")], None),
        ([], None),
    ],
)
def test_only_a_trial_that_completed_tells_that_the_metric_is_not_there(trials: list[Any], found: int | None):
    first = without_metric(trials)

    assert (first.number if first else None) == found
