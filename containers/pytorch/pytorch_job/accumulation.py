"""A batch's gradients from its pieces, one after another: the memory of one piece, the step of the whole batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor

Piece = tuple[Tensor | None, Tensor]
"""Images and labels; no images of a rank that ran dry."""
Found = tuple[Tensor, Tensor | int]
"""A mean loss and the right answers, on the device."""
Compute = Callable[[Piece, float], Found]
"""From a piece and its share of the batch's records, by which its gradients are to count."""


def accumulate(
    compute: Compute,
    images: Tensor | None,
    labels: Tensor,
    wanted: int,
    apart: Callable[[], AbstractContextManager[None]],
) -> Found:
    """What `compute` finds for a batch, in `wanted` pieces or as many as it has records, each counting by its records.

    Args:
        compute: Adds up gradients, of each piece.
        images: Of the batch; None has one piece.
        labels: Of the batch.
        wanted: Pieces, 1 or more.
        apart: What all but the last are computed in: the ranks meet once, when all gradients are there.
    """
    total = len(labels)
    if images is None or total == 0:
        return compute((images, labels), 1.0)
    count = min(wanted, total)
    loss, hits = 0.0, 0
    for number, piece in enumerate(zip(images.tensor_split(count), labels.tensor_split(count), strict=True), 1):
        share = len(piece[1]) / total
        with apart() if number < count else nullcontext():
            mean, right = compute(piece, share)
        loss, hits = loss + mean * share, hits + right
    return loss, hits
