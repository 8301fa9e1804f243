"""The form of every benchmark here: alternating rounds, a table, and one JSON object as the last line.

A benchmark with targets says in that line whether each is met, and with --check its exit code says so, too.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a value or ratio is to be."""

    least: float | None = None
    most: float | None = None

    def judge(self, value: float) -> dict[str, float | bool]:
        """The target, and whether `value` meets it."""
        bounds = {"least": self.least, "most": self.most}
        met = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        return {name: bound for name, bound in bounds.items() if bound is not None} | {"met": met}


def parser(description: str) -> argparse.ArgumentParser:
    """The options of a benchmark with targets."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--check", action="store_true", help="end with exit code 1 where a target is missed")
    return made


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


def report(  # what the line has, each by its name
    name: str,
    unit: str,
    figures: Mapping[str, list[float]],
    ratios: Mapping[str, float],
    targets: Mapping[str, Target] | None = None,
    *,
    check: bool = False,
    **values: float,
) -> None:
    """Print the table and the JSON line: medians, the ratios and values given, and the targets of any of them.

    Raises:
        SystemExit: a target is missed, and `check` asks for that.
    """
    print(f"\n{name} ({unit})\n{'':<24} {'median':>14} {'lowest':>14} {'highest':>14}")
    for contestant, each in figures.items():
        print(f"{contestant:<24} {statistics.median(each):>14,.4g} {min(each):>14,.4g} {max(each):>14,.4g}")
    for what, value in ratios.items():
        print(f"{what:<24} {value:>14.3f}")
    medians = {contestant: statistics.median(each) for contestant, each in figures.items()}
    rounds = len(next(iter(figures.values())))
    judged = {what: target.judge((medians | values | dict(ratios))[what]) for what, target in (targets or {}).items()}
    document = {"benchmark": name, "ratios": dict(ratios), "values": medians | values, "rounds": rounds}
    print(json.dumps(document | ({"targets": judged} if judged else {})), flush=True)
    if check and (missed := [what for what, target in judged.items() if not target["met"]]):
        sys.exit(f"missed: {', '.join(missed)}")
