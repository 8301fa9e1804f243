from scripts.tuning.trials import look
from tests.unit.scripts.tuning.fake_tuning import ACCURACY, BEGUN, FakeSageMaker, summary


def test_trials_are_in_the_order_of_their_numbers():
    sagemaker = FakeSageMaker(
        ("InProgress", [summary(1, value=0.5), summary(2, "InProgress"), summary(3, "InProgress")])
    )

    seen = look(sagemaker, "sweep", {None: ACCURACY})

    assert [trial.number for trial in seen.trials] == [1, 2, 3]
    assert (seen.trials[0].began, seen.trials[0].ended) == (BEGUN + 10, BEGUN + 70)
    assert seen.trials[1].ended is None


def test_running_trial_has_the_last_value_that_its_job_has():
    sagemaker = FakeSageMaker(("InProgress", [summary(1, "InProgress"), summary(2, value=0.25)]), running=0.125)

    running, ended = look(sagemaker, "sweep", {None: ACCURACY}).trials

    assert (running.objective, running.counts) == (0.125, False)
    assert (ended.objective, ended.counts) == (0.25, True)


def test_best_trial_is_the_one_that_the_service_names():
    sagemaker = FakeSageMaker(("Completed", [summary(1, value=0.5), summary(2, value=0.75), summary(3)]))

    seen = look(sagemaker, "sweep", {None: ACCURACY})

    assert seen.best is seen.trials[1]
    assert look(FakeSageMaker(("Completed", [summary(3)])), "sweep", {None: ACCURACY}).best is None
