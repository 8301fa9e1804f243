"""Which values the next trial gets: Grid and Random here, Bayesian and Hyperband by `search`."""

import itertools
import random
from collections.abc import Sequence

from local_mode.tuning.plan import Plan
from local_mode.tuning.ranges import Space, size
from local_mode.tuning.trial import Seen, Trial

_TRIES = 50
"""At values that no trial had yet, where there are only so many."""
Values = dict[str, str]


def choose(plan: Plan, trials: Sequence[Trial], parents: Sequence[Seen], seed: int) -> tuple[int, Values]:
    """Which definition the next trial is of, and its values: a function of what is given, and of nothing else.

    `parents` are trials of the tuning jobs that this one begins with.
    """
    number = len(trials) + 1
    if plan.strategy == "Grid":
        return _next_of_grids([each.space for each in plan.definitions], number - 1)
    # SageMaker does not document how it divides its jobs among several definitions.
    index = (number - 1) % len(plan.definitions)
    definition, mine = plan.definitions[index], [trial for trial in trials if trial.definition == index]
    taken = [dict(trial.values) for trial in mine]
    if plan.strategy == "Random" or not definition.space:
        return index, random_values(definition.space, seed, number, taken)
    from local_mode.tuning.search import suggest  # noqa: PLC0415  # brings Optuna, which a service may never need

    seen = [*parents, *(trial.seen() for trial in mine)]
    chosen = random.Random(f"{seed} {number}").randrange(1 << 32)  # noqa: S311  # nothing is kept secret by it
    # Hyperband has many trials early, and stops those that a guess would lose little by.
    told = 2 if plan.strategy == "Bayesian" else 1
    values = suggest(definition.space, seen, maximize=definition.objective.maximize, seed=chosen, told=told)
    return index, random_values(definition.space, seed, number, taken) if values in taken else values


def random_values(space: Space, seed: int, number: int, taken: Sequence[Values] = ()) -> Values:
    """Values at random, the same ones for the same seed and number; new ones, if it can be."""
    source = random.Random(f"{seed} {number}")  # noqa: S311  # as above
    values = _draw(space, source)
    for _ in range(_TRIES):
        if len(taken) >= size(space) or values not in taken:
            break
        values = _draw(space, source)
    return values


def _next_of_grids(spaces: Sequence[Space], index: int) -> tuple[int, Values]:
    """One point of the grids, one after the other, in the order of the request."""
    points = (
        (number, {each.name: value for each, value in zip(space, values, strict=True)})
        for number, space in enumerate(spaces)
        for values in itertools.product(*(each.choices or () for each in space))
    )
    return next(itertools.islice(points, index, None))


def _draw(space: Space, source: random.Random) -> Values:
    return {each.name: each.write(source.random()) for each in space}
