"""Graphs of functions as they are written: nothing reads their source, and what is to depend on tensors is said so."""

import pytest
import tensorflow as tf
from keras_job.tracing import if_any, traced


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
