"""A metric in six numbers."""

import statistics

import pytest

from local_mode.jobs.summary import Summary


def test_summary_is_that_of_all_points():
    values, summary = [1e9 + 0.25, 1e9 + 0.5, 1e9 - 1.0, 1e9], Summary()
    for at, value in enumerate(values):
        summary.add(value, at)

    assert (summary.count, summary.least, summary.most, summary.last, summary.at) == (4, 1e9 - 1, 1e9 + 0.5, 1e9, 3)
    assert summary.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert summary.deviation == pytest.approx(statistics.pstdev(values), abs=1e-6)


def test_point_that_comes_late_is_not_the_last():
    summary = Summary()
    summary.add(1.0, 20.0)
    summary.add(2.0, 10.0)

    assert (summary.last, summary.at, summary.most) == (1.0, 20.0, 2.0)
