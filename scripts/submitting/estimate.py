"""What a job takes in time and money, from a short measured run and stated factors; every line says which it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.submitting.errors import SubmitError
from scripts.submitting.measuring import Measured
from scripts.submitting.prices import Prices
from scripts.submitting.sizes import Size, Sizes

MARGIN = 2.0
"""A job may run for so many times its estimate: what scales a measurement is good to a factor of two."""
LEAST_SECONDS = 900
_NONE = Size(records=0, megabytes=0)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One part of an estimate."""

    what: str
    seconds: float
    why: str
    """How it is known."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of one job."""

    lines: tuple[Line, ...]
    """Start, streaming, steps, evaluation, end."""
    seconds: float
    """In all, as streaming and steps go on at once."""
    usd: float
    money: str
    """What the price is, and where from."""
    note: str = ""

    @property
    def most_seconds(self) -> float:
        """What to allow a job."""
        return max(MARGIN * self.seconds, LEAST_SECONDS)

    def __str__(self) -> str:
        shown = [*self.lines, Line(what="in all", seconds=self.seconds, why="streaming goes on during the steps")]
        rows = [f"  {line.what:<11}{duration(line.seconds):>9}   {line.why}" for line in shown]
        rows.append(f"  {'money':<11}{self.usd:>5.2f} USD   {self.money}")
        return "\n".join([*rows, *([f"  {self.note}"] if self.note else [])])


def check(request: Mapping[str, Any], prices: Prices) -> None:
    """Refuses what nothing can be said of, whatever is measured.

    Raises:
        SubmitError: The table lacks the instance, or the request does not say how many epochs.
    """
    kind, epochs = (
        request["ResourceConfig"].get("InstanceType", ""),
        request.get("HyperParameters", {}).get("epochs", ""),
    )
    if kind not in prices.instances:
        raise SubmitError(
            f"scripts/submitting/prices.toml has no row for {kind or 'groups of instances'}, so nothing can be "
            f"estimated; add one, or take one of: {', '.join(prices.instances)}"
        )
    if not epochs.isdigit():
        raise SubmitError(f"HyperParameters.epochs is '{epochs}'; an estimate needs the number of epochs")


def reckon(request: Mapping[str, Any], measured: Measured, sizes: Sizes, prices: Prices) -> Estimate:
    """The estimate of a request.

    Raises:
        SubmitError: As `check` does.
    """
    check(request, prices)
    resources = request["ResourceConfig"]
    kind, count = resources["InstanceType"], resources["InstanceCount"]
    instance = prices.instances[kind]
    usd_per_hour = instance.usd_per_hour * count
    epochs, batch, stated = int(request["HyperParameters"]["epochs"]), measured.batch_size, prices.stated
    train, validation, test = (sizes.channels.get(name, _NONE) for name in ("train", "validation", "test"))
    factor = instance.cores_worth / measured.cores
    step = max(1 / measured.steps_per_second / factor, stated.least_step_seconds)
    steps = epochs * math.ceil(train.records / batch)
    looks = (epochs * validation.records + test.records) / batch
    rate = min(measured.mb_per_second, instance.stream_mb_per_second)
    megabytes = epochs * (train.megabytes + validation.megabytes) + test.megabytes
    lines = (
        Line(what="start-up", seconds=stated.start_seconds, why="stated: to the program's first line"),
        Line(
            what="streaming",
            seconds=megabytes / rate,
            why=f"{megabytes:,.0f} MB, {sizes.known_by}, at {rate:.3g} MB/s: measured here "
            f"{measured.mb_per_second:.3g}, stated for {kind} at most {instance.stream_mb_per_second:g}",
        ),
        Line(
            what="steps",
            seconds=steps * step,
            why=f"{steps:,} of {batch} images at {1 / step:.3g} steps/s: measured here "
            f"{measured.steps_per_second:.3g} on {measured.cores} core(s), {measured.date}; x {factor:.3g} as stated "
            f"for {kind}, at most {1 / stated.least_step_seconds:.0f}",
        ),
        Line(
            what="evaluation",
            seconds=looks * step * stated.evaluation,
            why=f"{looks:,.0f} batches at {stated.evaluation:g} of a step, as stated",
        ),
        Line(what="end", seconds=stated.end_seconds, why="stated: artifacts"),
    )
    start, streaming, training, evaluation, end = (line.seconds for line in lines)
    seconds = start + max(streaming, training + evaluation) + end
    return Estimate(
        lines=lines,
        seconds=seconds,
        usd=seconds / 3600 * usd_per_hour,
        money=f"at {usd_per_hour:g} USD/h on demand, {prices.region}, {prices.date}: a table to be checked, "
        "scripts/submitting/prices.toml; spot is less",
        note=sizes.note,
    )


def most_usd(request: Mapping[str, Any], prices: Prices) -> float | None:
    """What a job costs at most by the table: all its instances, on demand, for as long as it may run."""
    usd_per_hour = prices.usd_per_hour(request["ResourceConfig"])
    seconds = request["StoppingCondition"]["MaxRuntimeInSeconds"] + prices.stated.start_seconds
    return None if usd_per_hour is None else usd_per_hour * seconds / 3600


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} m"
