import pytest
from trainjob.training.schedules import one_cycle


def test_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [one_cycle(position / 100, 0.25) for position in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[25] == pytest.approx(1)
    assert rates[100] == 0
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
