"""Graphs of functions as they are written: nothing reads their source, and what is to depend on tensors is said so."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf
from keras_job.tracing import if_any, optimise_once, traced
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context


def test_a_branch_on_a_tensor_is_refused_rather_than_rewritten():
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        traced(lambda value: "some" if value > 0 else "none")(tf.constant(1))


@pytest.mark.parametrize("compiled", [traced, lambda function: function], ids=["graph", "eager"])
def test_an_optional_is_acted_on_once_where_it_has_a_value(compiled):
    total = tf.Variable(0)

    def look(rows):
        return if_any(rows.get_next_as_optional(), total.assign_add)

    rows, call = iter(tf.data.Dataset.from_tensor_slices([3, 4])), compiled(look)

    assert [bool(call(rows)) for _ in range(3)] == [True, True, False]
    assert int(total) == 7


def test_a_thread_has_its_graphs_optimised_once_and_all_else_as_it_was():
    def settings():
        return config_pb2.ConfigProto.FromString(context.context().function_call_options.config_proto_serialized)

    def change():
        before = settings()
        optimise_once()
        return before, settings()

    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as another:
        before, after = thread.submit(change).result(60)
        others = another.submit(settings).result(60)
    wanted = rewriter_config_pb2.RewriterConfig.ONE
    assert before.graph_options.rewrite_options.meta_optimizer_iterations != wanted
    assert others == before
    before.graph_options.rewrite_options.meta_optimizer_iterations = wanted
    assert after == before
