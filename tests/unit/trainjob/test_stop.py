import math

import pytest
from trainjob.stop import PROGRAM_SECONDS, Stop


def test_a_fresh_stop_is_not_requested_and_has_no_deadline() -> None:
    stop = Stop()
    assert not stop.requested
    assert stop.seconds_left == math.inf


def test_a_request_leaves_the_program_less_time_than_the_platform_does() -> None:
    stop = Stop()
    stop.request()
    assert stop.requested
    assert stop.seconds_left == pytest.approx(105, abs=1)
    assert PROGRAM_SECONDS < 110


def test_a_second_request_does_not_move_the_deadline() -> None:
    stop = Stop(seconds=0.0)
    stop.request()
    stop.request()
    assert stop.seconds_left == 0.0
