"""How good the searches are: what Bayesian and Hyperband need to reach what Random reaches, on a recorded table.

    make bench/tuning_search

The table has Net on CIFAR-10, trained once for each of many configurations (`record_tuning.py` says how); between them
lies a surrogate (`tuning_table.py`). The searches are the tuning engine's own: its choice of values, and its rule of
which trials are stopped early. Only training itself is played back, with PARALLEL trials at a time, epoch by epoch.

The target is the median over the seeds of the best that Random has after TRIALS trials. `bayesian_trials` and
`hyperband_epochs` are what each seed needed to reach it (all of its budget where it did not), the ratios are of their
medians and of Random's whole budget.
"""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.rounds import Target, parser, report
from benchmarks.tuning_table import EPOCHS, RANGES, Surrogate
from local_mode.tuning.plan import Plan, plan
from local_mode.tuning.strategies import choose
from local_mode.tuning.trial import COMPLETED, STOPPED, Trial

SEEDS = 20
TRIALS = 40
PARALLEL = 2
METRIC = "validation:accuracy"
TARGETS = {"bayesian_trials_ratio": Target(most=1 / 2), "hyperband_epochs_ratio": Target(most=1 / 3)}


def wanted(strategy: str) -> Plan:
    """A sweep of Net by one strategy."""
    hyperband = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": EPOCHS}}
    definition: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingInputMode": "File", "MetricDefinitions": [{"Name": METRIC, "Regex": "x"}]},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    }
    return plan(
        {
            "HyperParameterTuningJobName": strategy.lower(),
            "HyperParameterTuningJobConfig": {
                "Strategy": strategy,
                **({"StrategyConfig": hyperband} if strategy == "Hyperband" else {}),
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": METRIC},
                "ResourceLimits": {"MaxParallelTrainingJobs": PARALLEL},
                "ParameterRanges": RANGES,
            },
            "TrainingJobDefinition": definition,
        }
    )


def play(sweep: Plan, surrogate: Surrogate, seed: int) -> Iterator[tuple[int, int, float]]:
    """One sweep without an end: after each trial that ended, how many had, all epochs so far, and the best value."""
    definition, trials, epochs, best = sweep.definitions[0], [], 0, 0.0
    curves: dict[int, list[float]] = {}
    while True:
        running = [trial for trial in trials if not trial.has_ended]
        while len(running) < sweep.parallel:
            _, values = choose(sweep, trials, [], seed)
            number = len(trials) + 1
            trials.append(Trial(number=number, definition=0, name=f"{sweep.name}-{number}", values=values))
            curves[number] = surrogate.curve(values)
            running.append(trials[-1])
        for trial in running:
            trial.points.append(curves[trial.number][len(trial.points)])
            epochs += 1
            others = [each.points for each in trials if each is not trial]
            if definition.hyperband and definition.hyperband.is_beaten(trial.points, others, definition.objective):
                trial.status = STOPPED
            elif len(trial.points) == EPOCHS:
                trial.status = COMPLETED
            if trial.has_ended:
                trial.objective = trial.points[-1]
                trial.order = 1 + sum(each.order is not None for each in trials)
                best = max(best, trial.objective)
                yield trial.order, epochs, best


def after(
    sweep: Plan, surrogate: Surrogate, seed: int, is_over: Callable[[int, int, float], bool]
) -> tuple[int, int, float]:
    """How a sweep stands as soon as that is said to be over."""
    return next(state for state in play(sweep, surrogate, seed) if is_over(*state))


def main() -> None:
    """Play all seeds of all searches."""
    arguments = parser("Quality of the searches.").parse_args()
    surrogate, budget = Surrogate(), TRIALS * EPOCHS
    seeds = range(SEEDS)
    random = [after(wanted("Random"), surrogate, seed, lambda count, *_: count >= TRIALS)[2] for seed in seeds]
    target = statistics.median(random)

    def is_over(count: int, epochs: int, best: float) -> bool:
        return best >= target or epochs >= budget

    bayesian = [after(wanted("Bayesian"), surrogate, seed, is_over) for seed in seeds]
    hyperband = [after(wanted("Hyperband"), surrogate, seed, is_over) for seed in seeds]
    figures = {
        "random_best": random,
        "bayesian_trials": [float(count) for count, _, _ in bayesian],
        "hyperband_epochs": [float(epochs) for _, epochs, _ in hyperband],
        "hyperband_trials": [float(count) for count, _, _ in hyperband],
    }
    ratios = {
        "bayesian_trials_ratio": statistics.median(figures["bayesian_trials"]) / TRIALS,
        "hyperband_epochs_ratio": statistics.median(figures["hyperband_epochs"]) / budget,
    }
    unit = f"{SEEDS} seeds, {len(surrogate)} configurations recorded; Random has {TRIALS} trials, {budget} epochs"
    missed = {
        "bayesian_missed": sum(best < target for _, _, best in bayesian),
        "hyperband_missed": sum(best < target for _, _, best in hyperband),
    }
    report("tuning_search", unit, figures, ratios, TARGETS, check=arguments.check, target=target, **missed)


if __name__ == "__main__":
    main()
