"""WarmStartConfig: what a tuning job may begin with, and what it learns from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_mode.tuning.plan import Definition, Plan, plan
from local_mode.tuning.record import STATUS
from local_mode.tuning.trial import FINAL, Seen, Trial

_DATA = ("InputDataConfig",)
Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A tuning job that another one begins with."""

    record: Document
    trials: Sequence[Trial]

    @property
    def plan(self) -> Plan:
        """What it was to do."""
        return plan(self.record)


def broken(child: Plan, parents: Sequence[Parent]) -> Iterator[str]:
    """Every rule of a warm start that is broken, as a sentence."""
    for parent in parents:
        name, theirs = parent.plan.name, parent.plan
        status = parent.record[STATUS]
        if status not in FINAL:
            yield f"Parent tuning job {name} is {status}; wait until it has ended."
        if len(child.definitions) > 1 or len(theirs.definitions) > 1:
            yield f"Warm start from {name}: only tuning jobs with one TrainingJobDefinition can be started from."
            continue
        yield from _differences(child, child.definitions[0], theirs.definitions[0], name)


def _differences(child: Plan, mine: Definition, theirs: Definition, name: str) -> Iterator[str]:
    if mine.objective != theirs.objective:
        yield f"The objective metric is not the one of parent tuning job {name}, {theirs.objective.metric!r}."
    count, other = len(mine.static) + len(mine.space), len(theirs.static) + len(theirs.space)
    if count != other:
        yield f"{count} hyperparameters are static or tuned, {other} in parent tuning job {name}; they must be as many."
    kinds = {each.name: type(each) for each in theirs.space}
    for each in mine.space:
        if kinds.get(each.name, type(each)) is not type(each):
            yield f"Hyperparameter {each.name!r} is of another kind in parent tuning job {name}."
    if child.identical:
        images = [each.document["AlgorithmSpecification"].get("TrainingImage") for each in (mine, theirs)]
        if images[0] != images[1]:
            yield f"IdenticalDataAndAlgorithm: TrainingImage is {images[0]}, {images[1]} in parent tuning job {name}."
        if any(mine.document.get(key) != theirs.document.get(key) for key in _DATA):
            yield f"IdenticalDataAndAlgorithm: InputDataConfig is not the one of parent tuning job {name}."


def learnt(parents: Sequence[Parent]) -> list[Seen]:
    """The parents' trials; a hyperparameter that was static there has its one value. Failures are left out."""
    found = []
    for parent in parents:
        definitions = parent.plan.definitions
        for trial in parent.trials:
            if trial.objective_status == "Succeeded":
                values = {**definitions[trial.definition].static, **trial.values}
                found.append(Seen(values=values, objective=trial.objective))
    return found
