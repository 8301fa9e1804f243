"""Search: which documents a SearchExpression asks for, and in which order."""

import pytest

from local_mode.errors import LocalModeError
from local_mode.experiments.search import matches, names, ordered

COMPONENT = {
    "TrialComponentName": "one",
    "CreationTime": 1_700_000_000.0,
    "Parameters": {"lr": {"NumberValue": 0.1}, "optimizer": {"StringValue": "adam"}},
    "Metrics": [{"MetricName": "validation:accuracy", "Max": 0.8, "Last": 0.5, "Count": 3}],
    "Parents": [{"TrialName": "t1", "ExperimentName": "exp"}, {"TrialName": "t2", "ExperimentName": "other"}],
    "Tags": [{"Key": "team", "Value": "blue"}],
    "Status": {"PrimaryStatus": "Completed"},
}
JOB = {"HyperParameters": {"epochs": "10"}, "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.25}]}


def one(name, operator="Equals", value=None):
    return {"Filters": [{"Name": name, "Operator": operator, **({} if value is None else {"Value": value})}]}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ({}, True),
        (one("TrialComponentName", value="one"), True),
        (one("trialcomponentname", value="one"), True),
        (one("TrialComponentName", value="on"), False),
        (one("TrialComponentName", "Contains", "N"), True),
        (one("TrialComponentName", "NotEquals", "two"), True),
        (one("TrialComponentName", "In", "two, one"), True),
        (one("Parents.ExperimentName", value="other"), True),
        (one("Parents.ExperimentName", value="none"), False),
        (one("Tags.team", value="blue"), True),
        (one("Status.PrimaryStatus", value="Completed"), True),
        (one("Parameters.lr", "LessThanOrEqualTo", "0.1"), True),
        (one("Parameters.lr", "LessThan", "0.1"), False),
        (one("Parameters.lr.NumberValue", value="0.10"), True),
        (one("Parameters.optimizer", value="adam"), True),
        (one("Metrics.validation:accuracy.Max", "GreaterThan", "0.7"), True),
        (one("Metrics.validation:accuracy.Last", "GreaterThanOrEqualTo", "0.7"), False),
        (one("CreationTime", "GreaterThan", "2023-11-14T22:13:19Z"), True),
        (one("CreationTime", "GreaterThan", "2023-11-14T22:13:21"), False),
        (one("Parameters.none", "NotExists"), True),
        (one("Parameters.lr", "Exists"), True),
        (one("Parameters.optimizer", "GreaterThan", "1"), False),
    ],
)
def test_filter_finds_what_it_says(expression, found):
    assert matches(expression, COMPONENT) is found


def test_training_jobs_are_found_by_hyperparameter_and_final_metric():
    assert matches(one("HyperParameters.epochs", "GreaterThan", "9"), JOB)
    assert matches(one("Metrics.loss", "LessThan", "0.3"), JOB)


def test_filters_of_a_nested_property_are_of_one_item():
    def nested(trial):
        conditions = [
            {"Name": "Parents.ExperimentName", "Operator": "Equals", "Value": "exp"},
            {"Name": "Parents.TrialName", "Operator": "Equals", "Value": trial},
        ]
        return {"NestedFilters": [{"NestedPropertyName": "Parents", "Filters": conditions}]}

    assert matches(nested("t1"), COMPONENT)
    assert not matches(nested("t2"), COMPONENT)


def test_expressions_are_joined_as_their_operator_says():
    good, bad = one("TrialComponentName", value="one"), one("TrialComponentName", value="two")

    assert not matches({"SubExpressions": [good, bad]}, COMPONENT)
    assert matches({"SubExpressions": [good, bad], "Operator": "Or"}, COMPONENT)
    assert list(names({**good, "SubExpressions": [one("Tags.a")]})) == ["TrialComponentName", "Tags.a"]


def test_filter_without_the_value_that_it_needs_is_refused():
    with pytest.raises(LocalModeError, match="Filter on TrialComponentName: Contains needs a Value"):
        matches(one("TrialComponentName", "Contains"), COMPONENT)


def test_order_is_by_number_and_what_lacks_the_property_comes_last():
    found = [{"n": "a", "v": 9}, {"n": "b"}, {"n": "c", "v": 10}]

    assert [each["n"] for each in ordered(found, "v", backwards=False)] == ["a", "c", "b"]
    assert [each["n"] for each in ordered(found, "V", backwards=True)] == ["c", "a", "b"]
