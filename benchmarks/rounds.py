"""The form of every benchmark here: alternating rounds, a table, and one JSON object as the last line."""

import json
import statistics
from collections.abc import Callable, Mapping


def measure(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let every contestant run once a round, in turn, so that a machine's bad minute hits all of them.

    Args:
        contestants: Name and a function that runs once and gives its figure.
        rounds: How often.

    Returns:
        The figures of each, one a round.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            figures[name].append(run())
            print(f"round {number + 1}/{rounds}  {name:<24} {figures[name][-1]:>14,.4g}", flush=True)
    return figures


def ratio(figures: Mapping[str, list[float]], ours: str, other: str) -> float:
    """Median over the rounds of one figure divided by another's of the same round."""
    return statistics.median(a / b for a, b in zip(figures[ours], figures[other], strict=True))


def report(
    name: str, unit: str, figures: Mapping[str, list[float]], ratios: Mapping[str, float], **values: float
) -> None:
    """Print the table and the JSON line: medians, and the ratios and values given."""
    print(f"\n{name} ({unit})\n{'':<24} {'median':>14} {'lowest':>14} {'highest':>14}")
    for contestant, each in figures.items():
        print(f"{contestant:<24} {statistics.median(each):>14,.4g} {min(each):>14,.4g} {max(each):>14,.4g}")
    for what, value in ratios.items():
        print(f"{what:<24} {value:>14.3f}")
    medians = {contestant: statistics.median(each) for contestant, each in figures.items()}
    rounds = len(next(iter(figures.values())))
    print(json.dumps({"benchmark": name, "ratios": dict(ratios), "values": medians | values, "rounds": rounds}))
