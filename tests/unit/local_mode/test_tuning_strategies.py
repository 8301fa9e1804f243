"""How the next values are found: grids, at random, by what is known; the same for the same seed."""

import math
import random
import statistics

import pytest

from local_mode.tuning.plan import plan
from local_mode.tuning.ranges import read
from local_mode.tuning.search import importance, suggest
from local_mode.tuning.strategies import choose, random_values
from local_mode.tuning.trial import Seen, Trial
from tests.unit.local_mode.fake_jobs import CONFIG, DEFINITION, GONE, REQUEST, changed

RANGES = f"{CONFIG}.ParameterRanges"
FEW = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y", "z"]}]}


def run(wanted, count, *, seed=3, worth=lambda values: 0.5):
    """Trials one after the other, each worth what `worth` says of its values."""
    trials = []
    for number in range(1, count + 1):
        index, values = choose(wanted, trials, [], seed)
        trials.append(
            Trial(number=number, definition=index, name=f"t-{number}", values=values, status="Completed", order=number)
        )
        trials[-1].objective = worth(values)
    return trials


def values_of(trials):
    return [dict(trial.values) for trial in trials]


def test_grid_has_every_combination_once_in_the_order_of_the_request():
    limits = {"MaxParallelTrainingJobs": 1}
    wanted = plan(changed({f"{CONFIG}.Strategy": "Grid", RANGES: FEW, f"{CONFIG}.ResourceLimits": limits}))

    assert wanted.jobs == 6
    assert values_of(run(wanted, 6)) == [{"a": a, "b": b} for a in "12" for b in "xyz"]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_same_seed_gives_the_same_search_and_another_seed_another(strategy):
    wanted = plan(changed({f"{CONFIG}.Strategy": strategy}))
    worth = lambda values: float(values["rate"])  # noqa: E731

    first = values_of(run(wanted, 9, worth=worth))
    assert values_of(run(wanted, 9, worth=worth)) == first
    assert values_of(run(wanted, 9, worth=worth, seed=4)) != first


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_nothing_is_tried_twice_while_there_is_something_else(strategy):
    wanted = plan(changed({f"{CONFIG}.Strategy": strategy, RANGES: FEW}))

    found = values_of(run(wanted, 6))
    assert sorted(found, key=str) == [{"a": a, "b": b} for a in "12" for b in "xyz"]
    assert len(run(wanted, 8)) == 8


def test_random_values_are_spread_over_the_scale():
    (rate,) = read({"ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1", "ScalingType": "Logarithmic"}]})  # fmt: skip
    drawn = [math.log10(float(random_values((rate,), 1, number)["rate"])) for number in range(400)]

    assert statistics.fmean(drawn) == pytest.approx(-2, abs=0.15)
    assert min(drawn) < -3.9
    assert max(drawn) > -0.1


def test_jobs_are_divided_among_several_definitions():
    definition = {
        **REQUEST[DEFINITION], "TuningObjective": {"Type": "Maximize", "MetricName": "accuracy"},
        "HyperParameterRanges": FEW,
    }  # fmt: skip
    both = [{**definition, "DefinitionName": name} for name in ("one", "two")]
    wanted = plan(changed({DEFINITION: GONE, "TrainingJobDefinitions": both, f"{CONFIG}.Strategy": "Random"}))

    trials = run(wanted, 4)
    assert [wanted.definitions[trial.definition].name for trial in trials] == ["one", "two", "one", "two"]


SPACE = read({
    "ContinuousParameterRanges": [
        {"Name": "rate", "MinValue": "0.00001", "MaxValue": "1", "ScalingType": "Logarithmic"},
        {"Name": "drop", "MinValue": "0", "MaxValue": "0.9", "ScalingType": "Linear"},
    ],
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["adam", "sgd", "rmsprop"]}],
})  # fmt: skip


def worth(values):
    """Best at a rate of 0.01, a drop of 0.3 and adam."""
    loss = abs(math.log10(float(values["rate"])) + 2) / 3 + abs(float(values["drop"]) - 0.3)
    return -loss - (values["optimizer"] != "adam") * 0.3


def best_of(count, seed, *, at_random):
    seen = []
    for number in range(count):
        if at_random:
            values = random_values(SPACE, seed, number)
        else:
            values = suggest(SPACE, seen, maximize=True, seed=random.Random(f"{seed} {number}").randrange(1 << 32))
        seen.append(Seen(values=values, objective=worth(values)))
    return max(each.objective for each in seen)


def test_bayesian_search_needs_half_the_trials_of_random_search():
    searched = statistics.median(best_of(20, seed, at_random=False) for seed in range(12))
    drawn = statistics.median(best_of(40, seed, at_random=True) for seed in range(12))

    assert searched > drawn


def test_bayesian_search_tells_of_each_trial_twice_and_hyperband_once():
    told = {}
    for strategy in ("Bayesian", "Hyperband"):
        wanted = plan(changed({f"{CONFIG}.Strategy": strategy}))
        space, goal = wanted.definitions[0].space, wanted.definitions[0].objective
        trials = run(plan(changed({f"{CONFIG}.Strategy": "Random"})), 12, worth=lambda values: float(len(str(values))))
        _, values = choose(wanted, trials, [], 3)
        seed = random.Random(f"3 {len(trials) + 1}").randrange(1 << 32)
        seen = [trial.seen() for trial in trials]
        told[strategy] = [
            times for times in (1, 2) if values == suggest(space, seen, maximize=goal.maximize, seed=seed, told=times)
        ]
    assert told == {"Bayesian": [2], "Hyperband": [1]}


def test_search_minds_failures_running_and_stopped_trials_and_skips_foreign_values():
    good = [Seen(values={"rate": "0.01", "drop": "0.3", "optimizer": "adam"}, objective=0.9)] * 6
    odd = [
        Seen(values={"rate": "0.5", "drop": "0.8", "optimizer": "sgd"}, objective=None),
        Seen(values={"rate": "0.02", "drop": "0.3", "optimizer": "adam"}, objective=None, is_running=True),
        Seen(values={"rate": "0.03", "drop": "0.5", "optimizer": "sgd"}, objective=0.1, stopped_at=2),
        Seen(values={"rate": "7", "drop": "0.5", "optimizer": "sgd"}, objective=0.1),
        Seen(values={"drop": "0.5", "optimizer": "sgd"}, objective=0.1),
        Seen(values={"rate": "0.1", "drop": "0.5", "optimizer": "adamw"}, objective=0.1),
    ]

    values = suggest(SPACE, [*good, *odd], maximize=True, seed=1)
    assert set(values) == {"rate", "drop", "optimizer"}
    assert 0.00001 <= float(values["rate"]) <= 1


def test_hyperparameter_with_one_value_has_that_value():
    space = read({
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "3", "MaxValue": "3"}],
        "CategoricalParameterRanges": [{"Name": "only", "Values": ["this"]}, {"Name": "a", "Values": ["1", "2"]}],
    })  # fmt: skip

    values = suggest(space, [], maximize=False, seed=1)
    assert (values["depth"], values["only"]) == ("3", "this")
    assert random_values(space, 1, 1)["depth"] == "3"


MIXED = read(
    {
        "ContinuousParameterRanges": [
            {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1"},
            {"Name": "decay", "MinValue": "0", "MaxValue": "1"},
        ],
        "CategoricalParameterRanges": [{"Name": "one", "Values": ["x"]}, {"Name": "two", "Values": ["x", "y"]}],
    }
)


def at_random(count, worth, seed=5):
    """What is seen of trials at random, each worth what `worth` says of its values."""
    values = [random_values(MIXED, seed, number) for number in range(count)]
    return [Seen(values=each, objective=worth(each)) for each in values]


@pytest.mark.parametrize("maximize", [True, False])
def test_hyperparameter_that_alone_decides_is_the_important_one(maximize):
    sign = 1 if maximize else -1
    trials = at_random(40, lambda values: -sign * abs(math.log10(float(values["rate"])) + 2))

    found = importance(MIXED, trials, maximize=maximize)

    assert found["rate"] > 0.8
    assert found["one"] == 0
    assert sum(found.values()) == pytest.approx(1)


def test_choice_that_decides_is_important_too():
    found = importance(MIXED, at_random(40, lambda values: float(values["two"] == "y")), maximize=True)

    assert max(found, key=found.get) == "two"


def test_nothing_is_said_of_the_importance_in_few_trials():
    known = at_random(4, lambda _: 0.5)

    assert importance(MIXED, [*known, Seen(values=known[0].values, objective=None)], maximize=True) == {}
