"""A metric in six numbers, kept as its points come."""

import math
from dataclasses import dataclass


@dataclass
class Summary:
    """Of all points so far, however many; the points themselves are kept elsewhere, if at all."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""
    least: float = math.inf
    most: float = -math.inf
    last: float = 0.0
    at: float = 0.0
    """When the last point was, in seconds since 1970."""

    def add(self, value: float, at: float) -> None:
        """Take a point, by Welford's method: sums of squares of near values lose all their digits."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)
        self.least, self.most = min(self.least, value), max(self.most, value)
        if at >= self.at:
            self.last, self.at = value, at

    @property
    def deviation(self) -> float:
        """Standard deviation of the points there are."""
        return math.sqrt(max(0.0, self.squares) / self.count) if self.count else 0.0
