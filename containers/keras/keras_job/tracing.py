"""Functions as TensorFlow's graphs, traced as they are written: loops and branches on tensors are made by name.

AutoGraph, which makes them of Python's own, reads and rewrites the source of every function it comes to: 0.8 s of a
process's first step, in each process anew.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def traced(function: Callable[..., Any], **settings: Any) -> Any:
    """A function that TensorFlow runs as a graph; `settings` are tf.function's."""
    return tf.function(function, autograph=False, **settings)


def if_any(following: Any, act: Callable[[Any], Any]) -> Any:
    """Have `act` take the value of an optional that has one; whether it has, as a tensor within a graph."""

    def take() -> None:
        act(following.get_value())

    found = following.has_value()
    tf.cond(found, take, lambda: None)
    return found
