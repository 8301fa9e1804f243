"""Bayesian search, and which hyperparameters mattered in one, by Optuna; the only importer of it.

Nothing is kept between two calls: a suggestion is a function of the trials so far, the seed and the trial's number.
So a search goes on in another process as it would have in this one, and Optuna's storage is memory alone.
"""

import math
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from local_mode.tuning.ranges import Categorical, Space
from local_mode.tuning.trial import Seen

_AT_RANDOM = 5
"""Trials before there is anything to learn from."""
_GOOD = 0.25
"""The share of the trials whose values are held against those of all."""


def suggest(space: Space, seen: Sequence[Seen], *, maximize: bool, seed: int, told: int = 1) -> dict[str, str]:
    """The values of the next trial.

    `told` is how often Optuna is told of each trial. To it the range as a whole weighs as much as one trial, so that it
    learns slowly of few; told of each twice, it looks nearer to the good ones sooner. docs/tuning.md has the figures.
    """
    sampler = TPESampler(n_startup_trials=told * _AT_RANDOM, multivariate=True, constant_liar=True, seed=seed)
    distributions, study = _distributions(space), _study(sampler, maximize=maximize)
    known = [trial for each in seen if (trial := _trial(space, distributions, each, maximize=maximize))]
    study.add_trials(known * told)
    chosen = study.ask(distributions).params
    return {
        each.name: str(chosen[each.name])
        if isinstance(each, Categorical) and each.name in chosen
        else each.write(chosen.get(each.name, 0.0))
        for each in space
    }


def importance(space: Space, seen: Sequence[Seen], *, maximize: bool) -> dict[str, float]:
    """By hyperparameter, how much it mattered for a trial to be among the best; all together 1, or nothing known.

    PED-ANOVA: how much the values of the best quarter differ from the values of all.
    """
    distributions, study = _distributions(space), _study(None, maximize=maximize)
    known = [Seen(values=each.values, objective=each.objective) for each in seen if each.objective is not None]
    study.add_trials([trial for each in known if (trial := _trial(space, distributions, each, maximize=maximize))])
    if len(study.trials) < _AT_RANDOM or not distributions:
        return {}
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=_GOOD))
    return {each.name: float(found.get(each.name, 0.0)) for each in space}


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {
        each.name: CategoricalDistribution(each.choices) if isinstance(each, Categorical) else FloatDistribution(0, 1)
        for each in space
        if each.count > 1
    }


def _study(sampler: TPESampler | None, *, maximize: bool) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")


def _trial(
    space: Space, distributions: dict[str, BaseDistribution], seen: Seen, *, maximize: bool
) -> FrozenTrial | None:
    """A trial as Optuna has it; None for one whose values are not in the ranges, as a parent's may be."""
    params: dict[str, float | str] = {}
    for each in space:
        text = seen.values.get(each.name)
        try:
            if text is None or (isinstance(each, Categorical) and text not in each.choices):
                return None
            share = text if isinstance(each, Categorical) else min(max(each.read(text), 0.0), 1.0)
        except ValueError:
            return None
        if each.name in distributions:
            params[each.name] = share
    if seen.is_running:
        return create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
    if seen.stopped_at and seen.objective is not None:
        points = {seen.stopped_at: seen.objective}
        return create_trial(
            state=TrialState.PRUNED, params=params, distributions=distributions, intermediate_values=points
        )
    if seen.objective is None:
        # Optuna learns nothing of failures; that there is nothing to be had here is worth knowing.
        return create_trial(params=params, distributions=distributions, value=-math.inf if maximize else math.inf)
    return create_trial(params=params, distributions=distributions, value=seen.objective)
