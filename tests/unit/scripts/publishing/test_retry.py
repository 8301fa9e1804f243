"""Doing again what failed for a reason that passes."""

import pytest

from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.retry import Patience


class Failing:
    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def patient(waits, said, attempts=3):
    return Patience(say=said.append, sleep=waits.append, attempts=attempts)


def test_what_passes_is_done_again_after_longer_and_longer_waits():
    waits, said = [], []
    act = Failing(TransientError("one"), TransientError("two"))

    assert patient(waits, said)(act) == "done"
    assert waits == [2.0, 8.0]
    assert said == ["one; attempt 2 of 3 in 2 s", "two; attempt 3 of 3 in 8 s"]


def test_last_failure_is_the_answer():
    waits = []
    act = Failing(*(TransientError(str(number)) for number in range(9)))

    with pytest.raises(TransientError, match="2"):
        patient(waits, [])(act)
    assert (act.calls, len(waits)) == (3, 2)


def test_what_does_not_pass_is_not_done_again():
    act = Failing(PublishError("for ever"))

    with pytest.raises(PublishError, match="for ever"):
        patient([], [])(act)
    assert act.calls == 1
