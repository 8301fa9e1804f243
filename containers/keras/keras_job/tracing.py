"""Functions as TensorFlow's graphs, traced as they are written: loops and branches on tensors are made by name.

AutoGraph, which makes them of Python's own, reads and rewrites the source of every function it comes to: 0.8 s of a
process's first step, in each process anew.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context

from keras_job.recipe import has_gpu


def traced(function: Callable[..., Any], **settings: Any) -> Any:
    """A function that TensorFlow runs as a graph; `settings` are tf.function's."""
    return tf.function(function, autograph=False, **settings)


def optimise_once() -> None:
    """Have TensorFlow optimise each graph once, of functions that this thread calls for the first time from now on.

    Its passes go over a graph twice. On a CPU the second time is 0.04 s of the workshop's step, which is no faster for
    it; with a GPU nothing is changed. The setting is no part of TensorFlow's public names.
    """
    if has_gpu():
        return
    options = context.context().function_call_options
    config = config_pb2.ConfigProto.FromString(options.config_proto_serialized)
    config.graph_options.rewrite_options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    options.config_proto_serialized = config


def if_any(following: Any, act: Callable[[Any], Any]) -> Any:
    """Have `act` take the value of an optional that has one; whether it has, as a tensor within a graph."""

    def take() -> None:
        act(following.get_value())

    found = following.has_value()
    tf.cond(found, take, lambda: None)
    return found
