"""Ranges of hyperparameters: scales, ends, and values as the texts a training job gets."""

import math
import statistics

import pytest

from local_mode.tuning.ranges import read, size


def one(kind, **fields):
    (found,) = read({kind: [{"Name": "x", **fields}]})
    return found


def continuous(least, most, scaling="Auto"):
    return one("ContinuousParameterRanges", MinValue=least, MaxValue=most, ScalingType=scaling)


def integer(least, most, scaling="Auto"):
    return one("IntegerParameterRanges", MinValue=least, MaxValue=most, ScalingType=scaling)


SHARES = [number / 1000 for number in range(1001)]


@pytest.mark.parametrize(
    ("found", "middle"),
    [
        (continuous("0.0001", "1", "Linear"), 0.50005),
        (continuous("0.0001", "1", "Logarithmic"), 0.01),
        (continuous("0.5", "0.9999", "ReverseLogarithmic"), 1 - math.sqrt(0.5 * 0.0001)),
        (continuous("0.0001", "1"), 0.01),
        (continuous("0.1", "1"), 0.55),
        (continuous("-5", "5"), 0.0),
        (continuous("0", "1e6"), 5e5),
    ],
)
def test_half_the_way_is_the_middle_of_the_scale(found, middle):
    assert float(found.write(0.5)) == pytest.approx(middle)


@pytest.mark.parametrize(
    "found",
    [
        continuous("0.1", "0.3", "Linear"),
        continuous("0.1", "0.3", "Logarithmic"),
        continuous("0.1", "0.3", "ReverseLogarithmic"),
        continuous("1e-300", "1e300", "Logarithmic"),
        continuous("7", "7"),
    ],
)
def test_value_is_never_outside_of_the_range_and_is_read_back(found):
    values = [float(found.write(share)) for share in SHARES]

    assert values == sorted(values)
    assert found.scale.least <= values[0] <= values[-1] <= found.scale.most
    assert (values[0], values[-1]) == pytest.approx((found.scale.least, found.scale.most))
    if found.count > 1:
        assert [found.read(found.write(share)) for share in SHARES] == pytest.approx(SHARES, abs=1e-9)


def test_number_is_written_as_plain_decimals():
    assert continuous("0.00001", "0.00002").write(0.0) == "0.00001"
    assert continuous("1e20", "2e20").write(0.0) == "100000000000000000000"
    assert len(continuous("1e-300", "1e300", "Logarithmic").write(0.0)) <= 256
    assert integer("3", "5").write(0.5) == "4"


@pytest.mark.parametrize("scaling", ["Linear", "Logarithmic"])
def test_all_numbers_of_an_integer_range_come_up_the_ends_among_them(scaling):
    found = integer("1", "4", scaling)
    drawn = [int(found.write(share)) for share in SHARES]
    counts = [drawn.count(number) for number in (1, 2, 3, 4)]

    assert sum(counts) == len(SHARES)
    if scaling == "Linear":
        assert statistics.pstdev(counts) < 2
    else:
        assert counts == sorted(counts, reverse=True)
    assert [found.write(found.read(str(number))) for number in (1, 2, 3, 4)] == ["1", "2", "3", "4"]


def test_text_of_a_choice_is_handed_on_as_it_was_written():
    found = one("CategoricalParameterRanges", Values=['"adam"', "sgd", '"5"', "sgd"])

    assert found.choices == ('"adam"', "sgd", '"5"')
    assert [found.write(share) for share in (0.0, 0.5, 0.999, 1.0)] == ['"adam"', "sgd", '"5"', '"5"']


@pytest.mark.parametrize("text", ["0.05", "0.31", "many"])
def test_value_of_another_range_is_refused(text):
    with pytest.raises(ValueError, match=text):
        continuous("0.1", "0.3").read(text)


def test_space_is_as_large_as_the_product_of_its_ranges():
    categorical = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}]}
    integers = {"IntegerParameterRanges": [{"Name": "b", "MinValue": "-1", "MaxValue": "1"}]}

    assert size(read({**categorical, **integers})) == 6
    assert size(read({"ContinuousParameterRanges": [{"Name": "c", "MinValue": "0", "MaxValue": "1"}]})) == math.inf
    assert size(read({})) == 1
