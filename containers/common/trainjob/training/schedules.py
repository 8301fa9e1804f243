"""How the learning rate goes over a training, and what several hosts multiply it by; the same in both frameworks."""

import math

SCALINGS = {"none": lambda count: 1.0, "linear": float, "sqrt": math.sqrt}
"""Of the learning rate, by the number of ranks."""


def one_cycle(position: float, warmup: float) -> float:
    """The learning rate as a share of its peak: up in a straight line until `warmup`, then down to nothing.

    Args:
        position: Share of the training that is done, 0..1.
        warmup: Where the peak is, above 0 and below 1.
    """
    if position < warmup:
        return 0.1 + 0.9 * position / warmup
    return (1 - position) / (1 - warmup)


def cosine(position: float, warmup: float) -> float:
    """The learning rate as a share of its peak: up in a straight line until `warmup`, then down along half a cosine."""
    if position < warmup:
        return one_cycle(position, warmup)
    return 0.5 + 0.5 * math.cos(math.pi * (position - warmup) / (1 - warmup))


SCHEDULES = {"one_cycle": one_cycle, "cosine": cosine}
