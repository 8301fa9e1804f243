"""The table of prices and of what instances are worth: `prices.toml`, dated, to be checked by whoever relies on it."""

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One type of instance."""

    usd_per_hour: float
    """On demand."""
    cores_worth: float
    """What it trains, in multiples of one processor core."""
    stream_mb_per_second: float
    """What S3 brings of one Pipe channel, in units of 10**6 bytes."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What every job is taken to need; nothing of it is measured."""

    start_seconds: float
    end_seconds: float
    least_step_seconds: float
    evaluation: float
    """Of a training step, for as many images."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The whole table."""

    region: str
    date: datetime.date
    source: str
    stated: Stated
    instances: Mapping[str, Instance]

    def usd_per_hour(self, resources: Mapping[str, Any]) -> float | None:
        """What all instances of a ResourceConfig cost together; None where the table lacks one of their types."""
        groups = resources.get("InstanceGroups") or [resources]
        known = [(self.instances.get(group.get("InstanceType", "")), group.get("InstanceCount", 1)) for group in groups]
        priced = [instance.usd_per_hour * count for instance, count in known if instance]
        return sum(priced) if len(priced) == len(known) else None


def read(path: Path = TABLE) -> Prices:
    """The table in a file."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return Prices(
        region=table["region"],
        date=table["date"],
        source=table["source"],
        stated=Stated(**table["stated"]),
        instances={name: Instance(**entry) for name, entry in table["instance"].items()},
    )
