"""Contract 4.7: what a CreateHyperParameterTuningJob request has to hold beyond its fields' own limits."""

import pytest

from local_mode.tuning.rules import broken
from tests.unit.local_mode.fake_jobs import CONFIG, DEFINITION, GONE, REQUEST, changed

INTEGERS = f"{CONFIG}.ParameterRanges.IntegerParameterRanges"
CONTINUOUS = f"{CONFIG}.ParameterRanges.ContinuousParameterRanges"
ONLY_CATEGORICAL = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {f"{CONFIG}.Strategy": "Random", f"{CONFIG}.RandomSeed": 3},
        {f"{CONFIG}.Strategy": "Hyperband"},  # MaxResource is inferred from the hyperparameter epochs
        {f"{CONFIG}.Strategy": "Grid", f"{CONFIG}.ParameterRanges": ONLY_CATEGORICAL,
         f"{CONFIG}.ResourceLimits": {"MaxParallelTrainingJobs": 1}},
        {CONTINUOUS: [{"Name": "m", "MinValue": "0.5", "MaxValue": "0.99", "ScalingType": "ReverseLogarithmic"}]},
    ],
)  # fmt: skip
def test_request_that_sagemaker_takes_breaks_no_rule(changes):
    assert broken(changed(changes)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({DEFINITION: GONE}, "either TrainingJobDefinition or TrainingJobDefinitions"),
        ({"TrainingJobDefinitions": [REQUEST[DEFINITION]]}, "either TrainingJobDefinition or TrainingJobDefinitions"),
        ({DEFINITION: GONE, "TrainingJobDefinitions": [REQUEST[DEFINITION]]}, "has no DefinitionName"),
        ({f"{CONFIG}.HyperParameterTuningJobObjective": GONE}, "has no objective metric"),
        ({f"{DEFINITION}.AlgorithmSpecification.MetricDefinitions": []}, "'accuracy' is not among"),
        ({f"{CONFIG}.ParameterRanges": {}}, "nothing to tune"),
        ({f"{DEFINITION}.StaticHyperParameters": {"rate": "1"}}, "'rate' is given 2 times"),
        ({f"{DEFINITION}.StaticHyperParameters": {f"p{n}": "1" for n in range(98)}}, "more than 100"),
        ({INTEGERS: [{"Name": f"p{n}", "MinValue": "1", "MaxValue": "2"} for n in range(29)]}, "at most 30"),
        ({INTEGERS: [{"Name": "depth", "MinValue": "1.5", "MaxValue": "2"}]}, "must be numbers"),
        ({INTEGERS: [{"Name": "depth", "MinValue": "3", "MaxValue": "2"}]}, "at most MaxValue"),
        ({INTEGERS: [{"Name": "d", "MinValue": "0", "MaxValue": "2", "ScalingType": "Logarithmic"}]}, "above 0"),
        ({INTEGERS: [{"Name": "d", "MinValue": "0", "MaxValue": "0", "ScalingType": "ReverseLogarithmic"}]},
         "is for continuous"),
        ({CONTINUOUS: [{"Name": "d", "MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}]},
         "within 0 <= x < 1"),
        ({CONTINUOUS: [{"Name": "d", "MinValue": "nan", "MaxValue": "1"}]}, "at most MaxValue"),
        ({f"{CONFIG}.Strategy": "Grid"}, "CategoricalParameterRanges only"),
        ({f"{CONFIG}.Strategy": "Grid", f"{CONFIG}.ParameterRanges": ONLY_CATEGORICAL}, "the grid has 2 points"),
        ({f"{CONFIG}.Strategy": "Hyperband", f"{CONFIG}.TrainingJobEarlyStoppingType": "Auto"}, "must be Off"),
        ({f"{CONFIG}.Strategy": "Hyperband", f"{DEFINITION}.StaticHyperParameters": {}}, "needs MaxResource"),
        ({f"{CONFIG}.Strategy": "Hyperband", f"{DEFINITION}.StaticHyperParameters": {"epochs": "20001"}},
         "at most 20000"),
        ({f"{CONFIG}.StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 3}}}, "for Hyperband only"),
        ({f"{CONFIG}.ParameterRanges": {"AutoParameters": [{"Name": "a", "ValueHint": "1"}]}}, "need Autotune"),
        ({f"{DEFINITION}.ResourceConfig": GONE}, "neither ResourceConfig nor"),
    ],
)  # fmt: skip
def test_request_that_breaks_a_rule_is_told_so(changes, words):
    assert words in " ".join(broken(changed(changes)))
