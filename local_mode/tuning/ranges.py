"""Ranges of hyperparameters: their scales, and their values as the texts that a training job gets.

A search sees numbers from 0 to 1, and choices; a range says which value that is, so that no search knows of scales.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LINEAR, LOGARITHMIC, REVERSE = "Linear", "Logarithmic", "ReverseLogarithmic"
_WIDE = 100
"""From so many times the least value on, Auto is a logarithmic scale; what SageMaker goes by is not documented."""
_LONGEST = 256
"""Characters of a value in the API."""
Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Between two numbers, on a scale."""

    least: float
    most: float
    kind: str

    def at(self, share: float) -> float:
        """The number at a share (0 to 1) of the way."""
        if self.least == self.most:
            return self.least
        if self.kind == LOGARITHMIC:
            value = math.exp(_between(math.log(self.least), math.log(self.most), share))
        elif self.kind == REVERSE:
            value = 1 - math.exp(_between(math.log(1 - self.least), math.log(1 - self.most), share))
        else:
            value = _between(self.least, self.most, share)
        return min(max(value, self.least), self.most)

    def share(self, value: float) -> float:
        """Where a number is on the way."""
        if self.least == self.most:
            return 0.0
        if self.kind == LOGARITHMIC:
            return _share(math.log(self.least), math.log(self.most), math.log(value))
        if self.kind == REVERSE:
            return _share(math.log(1 - self.least), math.log(1 - self.most), math.log(1 - value))
        return _share(self.least, self.most, value)


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """A ContinuousParameterRange."""

    name: str
    scale: Scale
    choices = None

    @property
    def count(self) -> float:
        """How many values there are."""
        return 1 if self.scale.least == self.scale.most else math.inf

    def write(self, share: float) -> str:
        """The value at a share of the range, as plain decimals."""
        value = self.scale.at(share)
        text = format(Decimal(repr(value)), "f")
        return text if len(text) <= _LONGEST else repr(value)

    def read(self, text: str) -> float:
        """The share of the range at which a value is.

        Raises:
            ValueError: it is none of the range's.
        """
        value = float(text)
        if not self.scale.least <= value <= self.scale.most:
            raise ValueError(text)
        return self.scale.share(value)


@dataclass(frozen=True, kw_only=True)
class Integer:
    """An IntegerParameterRange; each number has half a step on either side, so that ends are as likely as others."""

    name: str
    least: int
    most: int
    scale: Scale
    choices = None

    @property
    def count(self) -> float:
        """How many values there are."""
        return self.most - self.least + 1

    def write(self, share: float) -> str:
        """The number at a share of the range."""
        return str(min(max(round(self.scale.at(share)), self.least), self.most))

    def read(self, text: str) -> float:
        """The share of the range at which a number is.

        Raises:
            ValueError: it is none of the range's.
        """
        value = int(text)
        if not self.least <= value <= self.most:
            raise ValueError(text)
        return self.scale.share(value)


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """A CategoricalParameterRange; its values are handed on as they were written, quotes of a client's included."""

    name: str
    choices: tuple[str, ...]

    @property
    def count(self) -> float:
        """How many values there are."""
        return len(self.choices)

    def write(self, share: float) -> str:
        """The value at a share of the list."""
        return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]


Range = Continuous | Integer | Categorical
Space = tuple[Range, ...]
"""What a search chooses from: a value of each range."""


def read(ranges: Document) -> Space:
    """The ranges of a ParameterRanges structure, which `rules` has checked."""
    space: list[Range] = []
    for item in ranges.get("ContinuousParameterRanges") or ():
        least, most = float(item["MinValue"]), float(item["MaxValue"])
        space.append(Continuous(name=item["Name"], scale=_scale(item, least, most)))
    for item in ranges.get("IntegerParameterRanges") or ():
        low, high = int(item["MinValue"]), int(item["MaxValue"])
        found = _scale(item, low, high)
        steps = Scale(least=low - 0.5, most=high + 0.5, kind=found.kind)
        space.append(Integer(name=item["Name"], least=low, most=high, scale=steps))
    for item in ranges.get("CategoricalParameterRanges") or ():
        space.append(Categorical(name=item["Name"], choices=tuple(dict.fromkeys(item["Values"]))))
    return tuple(space)


def size(space: Space) -> float:
    """How many combinations there are."""
    return math.prod(each.count for each in space)


def _scale(item: Document, least: float, most: float) -> Scale:
    kind = item.get("ScalingType", "Auto")
    if kind == "Auto":
        kind = LOGARITHMIC if least > 0 and most >= _WIDE * least else LINEAR
    return Scale(least=least, most=most, kind=kind)


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _share(low: float, high: float, value: float) -> float:
    return (value - low) / (high - low)
