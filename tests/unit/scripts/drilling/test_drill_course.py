"""Lines of jobs, and what is found in them that should not be."""

import io
import re
from collections.abc import Sequence

import pytest
from PIL import Image

from scripts.drilling import figures
from scripts.drilling.checking import Outcome, differences
from scripts.drilling.course import Course
from scripts.drilling.moments import Kind

LOSSES = {step: f"{3 - step / 10:.6g}" for step in range(1, 11)}


def lines(began: int, steps: Sequence[int], *, stopped: bool = False) -> list[str]:
    resumed = [f"10:00:02 INFO resumed after epoch 0, batch {began}, step {began}"] if began else []
    end = [f"10:00:03 INFO stopped in epoch 1 after batch {steps[-1]}, step {steps[-1]}"] if stopped else []
    return [
        "10:00:00 Training - the program runs",
        "10:00:01 INFO net on cpu, torch 2.15.0: {}",
        *resumed,
        *(f"step={step} train:step_loss={LOSSES.get(step, '0')};" for step in steps),
        *end,
    ]


def read(*attempts: tuple[int, int, Sequence[int], Kind | None]) -> Course:
    """Each attempt: what it should go on from, what it did, its steps, what ended it."""
    course = Course()
    for wanted, began, steps, ended_by in attempts:
        course.wanted = wanted
        for line in lines(began, steps, stopped=ended_by in (Kind.SPOT, Kind.STOP)):
            course.read(line)
        course.attempts[-1].ended_by = ended_by
    return course


def outcome(course: Course, weights: tuple[str, str] = ("a", "a")) -> Outcome:
    return Outcome(steps=10, whole=read((0, 0, range(1, 11), None)), course=course, weights=weights)


GOOD = (
    (0, 0, [1, 2, 3], Kind.SPOT),
    (3, 3, [4, 5, 6, 7], Kind.KILL),
    (5, 5, [6, 7, 8], Kind.STOP),
    (8, 8, [9, 10], None),
)


def test_attempts_are_read_from_the_lines_of_their_jobs():
    course = read(*GOOD)

    assert [(attempt.began, attempt.last, attempt.stopped) for attempt in course.attempts] == [
        (0, 3, 3), (3, 7, None), (5, 8, 8), (8, 10, None),
    ]  # fmt: skip
    assert all(attempt.listened for attempt in course.attempts)
    assert course.attempts[1].steps[0] == (4, "2.6")


def test_broken_checkpoints_that_a_program_meets_are_counted():
    course = read(GOOD[0])
    course.read("10:00:01 WARNING checkpoint of step 25 skipped (checkpoint-00000025.json): cut short")

    assert course.attempts[0].skipped == [25]


def test_training_that_lost_no_step_and_took_none_twice_has_no_differences():
    assert differences(outcome(read(*GOOD))) == []


def test_attempt_that_ended_before_it_resumed_is_shown_where_it_should_have_begun():
    course = read(GOOD[0], (3, 0, [], Kind.KILL))

    assert [attempt.span for attempt in course.attempts] == [(0, 3), (3, 3)]


def test_attempt_that_ended_before_it_took_a_step_is_no_difference():
    early = (3, 3, [], None)

    assert differences(outcome(read(GOOD[0], early, *GOOD[1:]))) == []


@pytest.mark.parametrize(
    ("attempts", "said"),
    [
        ([*GOOD[:3], (8, 7, [8, 9, 10], None)], "attempt 4: it went on from step 7, but .* of step 8"),
        ([*GOOD[:3], (8, 8, [10], None)], "attempt 4: it went on from step 8 and took the steps 10"),
        ([*GOOD[:3], (8, 8, [9, 9, 10], None)], "attempt 4: .* took the steps 9, 9, 10"),
        ([*GOOD[:3]], "2 steps were taken by no attempt, the first is 9"),
        ([*GOOD[:3], (8, 8, [9, 10, 11], None)], "steps beyond the training's end were taken, up to 11"),
    ],
)
def test_steps_that_were_lost_or_taken_twice_are_told(attempts, said):
    found = differences(outcome(read(*attempts)))

    assert any(re.fullmatch(said, text) for text in found), found


def test_other_loss_of_a_step_is_told():
    course = read(*GOOD)
    course.attempts[2].steps[1] = (7, "9.9")

    assert differences(outcome(course)) == [
        "attempt 3: 1 of its 3 steps have another loss than uninterrupted, the first is 7"
    ]


def test_other_weights_are_told_with_both_checksums():
    assert differences(outcome(read(*GOOD), ("ab", "cd"))) == [
        "the final weights differ: sha256 ab uninterrupted, cd interrupted"
    ]


def test_stop_that_no_program_confirmed_is_told():
    course = read(*GOOD)
    course.attempts[0].stopped = None

    assert differences(outcome(course)) == [
        "attempt 1: it was asked to stop at about step 3, and did not say that it did"
    ]


def test_picture_shows_both_curves_and_every_attempt():
    png = figures.draw(outcome(read(*GOOD)), "a title")
    other = figures.draw(outcome(read((0, 0, range(1, 11), None))), "a title")

    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.size) == ("PNG", (1200, 720))
    assert png != other
