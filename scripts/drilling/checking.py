"""Whether a training that was interrupted is the one that was not: step for step, and in its weights."""

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.drilling.course import Attempt, Course
from scripts.drilling.moments import GRACEFUL


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Two trainings of one job."""

    steps: int
    """Of the whole training."""
    whole: Course
    course: Course
    weights: tuple[str, str]
    """Checksums of the final weights, the uninterrupted training's first."""


def differences(outcome: Outcome) -> list[str]:
    """All that should not be, in words; nothing where the drill is passed."""
    return [*_of_whole(outcome), *_of_course(outcome), *_of_weights(outcome)]


def _of_whole(outcome: Outcome) -> Iterator[str]:
    taken = [step for attempt in outcome.whole.attempts for step, _ in attempt.steps]
    if taken != list(range(1, outcome.steps + 1)):
        yield f"the uninterrupted training took {len(taken)} steps in place of 1 to {outcome.steps}"


def _of_course(outcome: Outcome) -> Iterator[str]:
    expected = dict(outcome.whole.attempts[0].steps) if outcome.whole.attempts else {}
    covered: set[int] = set()
    for number, attempt in enumerate(outcome.course.attempts, start=1):
        yield from (f"attempt {number}: {text}" for text in _of_attempt(attempt, expected))
        covered.update(step for step, _ in attempt.steps)
    if missing := set(range(1, outcome.steps + 1)) - covered:
        yield f"{len(missing)} steps were taken by no attempt, the first is {min(missing)}"
    if strange := covered - set(range(1, outcome.steps + 1)):
        yield f"steps beyond the training's end were taken, up to {max(strange)}"


def _of_attempt(attempt: Attempt, expected: dict[int, str]) -> Iterator[str]:
    if attempt.listened and attempt.wanted is not None and attempt.began != attempt.wanted:
        yield f"it went on from step {attempt.began}, but the newest whole checkpoint was of step {attempt.wanted}"
    taken = [step for step, _ in attempt.steps]
    if taken != list(range(attempt.began + 1, attempt.began + 1 + len(taken))):
        yield f"it went on from step {attempt.began} and took the steps {_shortened(taken)}"
    other = [step for step, loss in attempt.steps if loss != expected.get(step)]
    if other:
        yield f"{len(other)} of its {len(taken)} steps have another loss than uninterrupted, the first is {other[0]}"
    if attempt.ended_by in GRACEFUL and attempt.stopped not in (None, attempt.last):
        yield f"it stopped at step {attempt.stopped}, but its last step was {attempt.last}"
    if attempt.ended_by in GRACEFUL and attempt.stopped is None and attempt.steps and not _is_over(attempt, expected):
        yield f"it was asked to stop at about step {attempt.last}, and did not say that it did"


def _is_over(attempt: Attempt, expected: dict[int, str]) -> bool:
    """Whether it had nothing left to train when it was asked to stop."""
    return attempt.last == max(expected, default=0)


def _of_weights(outcome: Outcome) -> Iterator[str]:
    whole, other = outcome.weights
    if whole != other:
        yield f"the final weights differ: sha256 {whole} uninterrupted, {other} interrupted"


def _shortened(steps: list[int]) -> str:
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) <= 6 else [*shown[:3], "...", *shown[-3:]])
