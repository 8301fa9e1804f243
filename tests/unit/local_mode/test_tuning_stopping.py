"""What ends training jobs early, the median rule and Hyperband, and what ends a tuning job."""

import time

import pytest

from local_mode.tuning.endings import verdict
from local_mode.tuning.hyperband import Hyperband
from local_mode.tuning.log_hint import hint
from local_mode.tuning.median import is_hopeless
from local_mode.tuning.objective import Objective, without_improvement
from local_mode.tuning.plan import plan
from local_mode.tuning.trial import Trial
from tests.unit.local_mode.fake_jobs import CONFIG, changed

UP, DOWN = Objective(metric="m", maximize=True), Objective(metric="m", maximize=False)
EARLIER = [[0.25, 0.5, 0.75], [0.125, 0.375, 0.5], [0.5, 0.75, 0.75]]
"""Running averages after two epochs: 0.375, 0.25 and 0.625, with a median of 0.375."""


@pytest.mark.parametrize(
    ("points", "objective", "expected"),
    [
        ([0.9, 0.37], UP, True),
        ([0.0, 0.375], UP, False),  # the last value counts, and as good is not worse
        ([0.0, 0.38], DOWN, True),
        ([0.9, 0.375], DOWN, False),
        ([], UP, False),
        ([0.0, 0.0, 0.0, 0.0], UP, False),  # nobody else came so far
    ],
)
def test_median_rule_compares_the_last_value_with_running_averages(points, objective, expected):
    assert is_hopeless(points, EARLIER, objective) is expected


def test_median_rule_waits_for_three_jobs_to_compare_with():
    assert not is_hopeless([0.0], EARLIER[:2], UP)
    assert is_hopeless([0.0], EARLIER, UP)


def test_hyperband_looks_after_rungs_that_grow_by_three():
    assert list(Hyperband(least=1, most=27).rungs()) == [1, 3, 9]
    assert list(Hyperband(least=2, most=27).rungs()) == [2, 6, 18]
    assert list(Hyperband(least=5, most=5).rungs()) == []


@pytest.mark.parametrize(
    ("points", "others", "expected"),
    [
        ([0.5], [], False),
        ([0.5], [[0.6]], True),
        ([0.5], [[0.4], [0.3]], False),
        ([0.5], [[0.6], [0.4], [0.3]], False),  # one of the best two of four
        ([0.5], [[0.6], [0.7], [0.3]], True),
        ([0.1, 0.1], [[0.9, 0.9]] * 9, False),  # no rung
        ([0.1, 0.1, 0.1], [[0.9, 0.9, 0.9]] * 9, True),
        ([0.1, 0.1, 0.1], [[0.9, 0.9]] * 9, False),  # nobody else came so far
        ([0.9] * 9, [], False),  # ends by itself, with its model
        ([0.9] * 10, [], True),
    ],
)
def test_hyperband_lets_the_best_third_go_on(points, others, expected):
    assert Hyperband(least=1, most=9).is_beaten(points, others, UP) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], 0), ([1.0], 0), ([1.0, 1.009, 1.0095], 2), ([1.0, 1.02], 0), ([1.0, 0.5, 0.7, 0.9], 3)],
)
def test_less_than_a_hundredth_is_no_improvement(values, expected):
    assert without_improvement(UP, values) == expected


def trial(number, objective=None, status="Completed", **fields):
    points = [] if objective is None else [objective]
    return Trial(
        number=number, definition=0, name=f"t-{number}", values={}, status=status, objective=objective, points=points,
        order=number if status != "InProgress" else None, **fields,
    )  # fmt: skip


def ended(changes, trials, created=None):
    return verdict(
        plan(changed(changes)), trials, created=created or time.time(), hint=lambda trial: f"see {trial.name}"
    )


LIMITS = f"{CONFIG}.ResourceLimits"
CRITERIA = f"{CONFIG}.TuningJobCompletionCriteria"
MANY = {LIMITS: {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 2}}


def test_tuning_job_goes_on_until_its_budget_is_spent():
    done = [trial(number, 0.5) for number in (1, 2, 3)]

    assert ended({}, done) is None
    assert ended({}, [*done, trial(4, status="InProgress")]) is None
    assert ended({}, [*done, trial(4, 0.1)]).status == "Completed"
    assert ended({}, [*done, trial(4, status="Failed")]).status == "Completed"


def test_tuning_job_fails_when_no_training_job_succeeds():
    failed = [trial(number, status="Failed", reason="AlgorithmError: x") for number in range(1, 6)]

    assert ended(MANY, failed[:4]) is None
    end = ended(MANY, failed)
    assert end.status == "Failed"
    assert end.reason.startswith("No training job succeeded after 5 attempts. Please take a look at the training job")
    assert ended({}, failed[:4]).status == "Failed"
    assert ended(MANY, [*failed, trial(6, 0.5)]) is None


def test_killed_service_is_no_failure_of_the_training_jobs():
    killed = [
        trial(number, status="Failed", reason="InternalServerError: local_mode was killed") for number in range(9)
    ]

    assert ended(MANY, killed) is None


def test_first_training_job_without_the_metric_ends_the_tuning_job():
    end = ended(MANY, [trial(1), trial(2, status="InProgress")])
    assert (end.status, end.reason) == (
        "Failed", "No objective metrics found after running 1 training jobs. see t-1",
    )  # fmt: skip
    saying = trial(2, status="InProgress")
    saying.points = [0.1]
    assert ended(MANY, [trial(1), saying]) is None


@pytest.mark.parametrize(
    ("criteria", "values", "is_over"),
    [
        ({"TargetObjectiveMetricValue": 0.9}, [0.5, 0.89], False),
        ({"TargetObjectiveMetricValue": 0.9}, [0.5, 0.9], True),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}, [0.5, 0.5, 0.5], False),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}, [0.5, 0.5, 0.5, 0.5], True),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}, [0.5] * 10, False),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}, [0.5] * 11, True),
        ({"ConvergenceDetected": {"CompleteOnConvergence": "Disabled"}}, [0.5] * 11, False),
    ],
)
def test_criteria_complete_a_tuning_job_before_its_budget_is_spent(criteria, values, is_over):
    trials = [trial(number, value) for number, value in enumerate(values, 1)]
    end = ended({**MANY, CRITERIA: criteria}, trials)

    assert (end.status if end else None) == ("Completed" if is_over else None)


def test_time_that_is_up_stops_a_tuning_job():
    limits = {LIMITS: {"MaxParallelTrainingJobs": 2, "MaxRuntimeInSeconds": 120}}

    assert ended(limits, [], created=time.time() - 110) is None
    assert ended(limits, [], created=time.time() - 121).status == "Stopped"


def test_hint_shows_the_line_that_looks_most_like_the_metric():
    lines = ["epoch 1", "val_accuracy: 0.51 - loss: 2", "accuracy is next", "[local_mode] verdict: accuracy 1", ""]

    text = hint("validation:accuracy", "acc=(.*)", ["validation: accuracy 0.5", *lines], "job-1")
    assert text == (
        "The regular expression 'acc=(.*)' of metric 'validation:accuracy' matched no line of the log of job-1; "
        "the line most like it is 'validation: accuracy 0.5'."
    )
    assert "'epoch 1'" in hint("m", "m=(.*)", ["epoch 1", "bye"], "job-1")
    assert hint("m", "m=(.*)", ["", "[local_mode] verdict"], "job-1").endswith("; the log has no line.")
