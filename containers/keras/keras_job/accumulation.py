"""A batch's gradients from its pieces, one after another: the memory of one piece, the step of the whole batch."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Computed = tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]
"""Gradients of a weighted mean loss, the summed loss, the right answers."""
Compute = Callable[[tf.Tensor, tf.Tensor, Any], Computed]
"""From images, labels and what their mean loss counts."""


def accumulate(
    compute: Compute, images: tf.Tensor, labels: tf.Tensor, weight: Any, wanted: int, *, unrolled: bool
) -> Computed:
    """What `compute` finds for a batch, in `wanted` pieces or as many as it has records, each counting by its records.

    Not the optimizer's own `gradient_accumulation_steps`, to which all pieces are equal, and which the ranks meet for.

    Args:
        compute: Is given each piece.
        images: Of the batch.
        labels: Of the batch.
        weight: What the whole batch's mean loss counts.
        wanted: Pieces, 1 or more.
        unrolled: For XLA, which has to know how long each piece is. Else TensorFlow loops, in the memory of one.
    """
    if wanted == 1:
        return compute(images, labels, weight)
    total = labels.shape[0] if unrolled else tf.shape(labels)[0]
    if unrolled:
        return _unrolled(compute, images, labels, weight, min(wanted, total))
    count = tf.minimum(wanted, total)

    def add(index: tf.Tensor, found: Computed) -> tuple[tf.Tensor, Computed]:
        return index + 1, _added(found, compute(*_piece(images, labels, weight, total, index, count)))

    first = compute(*_piece(images, labels, weight, total, 0, count))
    _, found = tf.while_loop(lambda index, _: index < count, add, (tf.constant(1), first), parallel_iterations=1)
    return found


def _unrolled(compute: Compute, images: tf.Tensor, labels: tf.Tensor, weight: Any, count: int) -> Computed:
    total = labels.shape[0]
    found = compute(*_piece(images, labels, weight, total, 0, count))
    for index in range(1, count):
        with tf.control_dependencies(found[0]):
            found = _added(found, compute(*_piece(images, labels, weight, total, index, count)))
    return found


def _piece(
    images: tf.Tensor, labels: tf.Tensor, weight: Any, total: Any, index: Any, count: Any
) -> tuple[tf.Tensor, tf.Tensor, Any]:
    begin, end = index * total // count, (index + 1) * total // count
    share = tf.cast(end - begin, tf.float64) / tf.cast(total, tf.float64)
    return images[begin:end], labels[begin:end], weight * share


def _added(one: Computed, other: Computed) -> Computed:
    gradients = [left + right for left, right in zip(one[0], other[0], strict=True)]
    return gradients, one[1] + other[1], one[2] + other[2]
