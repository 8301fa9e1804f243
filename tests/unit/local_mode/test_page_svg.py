"""Curves and time lines as coordinates."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_mode.page import svg

finite = st.floats(-1e12, 1e12)


@given(st.lists(st.tuples(st.floats(0, 1e7), finite), min_size=1, max_size=50), st.booleans())
def test_curve_stays_within_its_frame_whatever_the_values(points, grounded):
    points.sort()
    chart = svg.chart(points, 0.0, grounded=grounded)

    assert chart
    places = [tuple(map(float, place.split(","))) for place in re.findall(r"[ML](\S+,\S+)", chart.line)]
    assert all(0 <= x <= svg.WIDTH and 0 <= y <= svg.HEIGHT for x, y in places)
    assert len(places) == len(points)
    assert len(chart.across) <= 10
    assert len(chart.up) <= 10


def test_no_points_are_no_curve():
    assert svg.chart([], 0.0) is None


def test_time_line_is_as_long_as_the_job_and_leaves_no_gap():
    line = svg.timeline(
        [
            {"Status": "Starting", "StartTime": 10.0, "EndTime": 11.0},
            {"Status": "Training", "StartTime": 11.0},
        ],
        now=14.0,
    )

    assert [(part.left, part.width, part.seconds) for part in line] == [(0, 250, 1), (250, 750, 3)]
    assert svg.timeline([], now=1.0) == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2.04, "2.0 s"),
        (41, "41 s"),
        (61, "1 min 1 s"),
        (120, "2 min"),
        (3700, "1 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert svg.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.12345, "0.1235"), (12345, "12345"), (2.5e9, "2.5e9"), (1e-7, "1.0e-7")]
)
def test_numbers_are_short(value, text):
    assert svg.number(value) == text
