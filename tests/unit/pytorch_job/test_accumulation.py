"""A batch in pieces has the gradients of the whole batch, and the ranks meet once."""

from contextlib import contextmanager

import pytest
import torch
from pytorch_job import inputs, models, saving
from pytorch_job.accumulation import accumulate
from pytorch_job.recipe import Recipe
from pytorch_job.training import Trainer
from torch.nn import functional
from trainjob import channel
from trainjob.stop import Stop

from tests.small_job import Job, records

IMAGES, LABELS = (
    torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).double(),
    torch.tensor([0, 1, 2] * 2 + [0]),
)


def taken(wanted: int) -> tuple[list, torch.Tensor, torch.Tensor]:
    """What happened in turn, the mean loss, and the gradients that are left."""
    weights, happened = torch.full((5, 3), 0.1, dtype=torch.float64, requires_grad=True), []

    @contextmanager
    def apart():
        happened.append("apart")
        yield
        happened.append("together")

    def compute(piece, share):
        images, labels = piece
        happened.append(len(labels))
        loss = functional.cross_entropy(images @ weights, labels)
        (loss * share).backward()
        return loss.detach(), (labels == 0).sum()

    loss, hits = accumulate(compute, IMAGES, LABELS, wanted, apart)
    assert int(hits) == 3
    return happened, loss, weights.grad


@pytest.mark.parametrize(
    ("wanted", "happened"),
    [
        (1, [7]),
        (2, ["apart", 4, "together", 3]),
        (3, ["apart", 3, "together", "apart", 2, "together", 2]),
        (100, [*["apart", 1, "together"] * 6, 1]),
    ],
)
def test_pieces_leave_the_gradients_of_the_whole_batch_and_the_ranks_meet_at_the_last(wanted, happened):
    found, loss, gradients = taken(wanted)
    _, whole_loss, whole = taken(1)
    assert found == happened
    assert torch.allclose(gradients, whole, rtol=1e-12)
    assert torch.allclose(loss, whole_loss, rtol=1e-12)


def test_rank_without_a_record_computes_one_piece_of_nothing():
    seen = []

    def compute(piece, share):
        seen.append((piece[0], len(piece[1]), share))
        return torch.zeros(()), 0

    accumulate(compute, None, LABELS[:0], 4, lambda: pytest.fail("there is no other piece"))
    accumulate(compute, IMAGES[:0], LABELS[:0], 4, lambda: pytest.fail("there is no other piece"))
    assert seen[0] == (None, 0, 1.0)
    assert seen[1][1:] == (0, 1.0)


def test_trainer_shows_the_model_a_piece_at_a_time(tmp_path):
    job, lengths, cpu = Job(tmp_path / "ml"), [], torch.device("cpu")
    job.content = {"train": [records(34, 1)]}
    recipe, model = Recipe(epochs=1, batch_size=32, gradient_accumulation=3), models.build("net")
    model.register_forward_pre_hook(lambda _, given: lengths.append(len(given[0])))
    progress = saving.Progress(epoch_records=34)
    trainer = Trainer(recipe, model, recipe.optimize(model), cpu, Stop())
    trainer.train_epoch(inputs.cifar10_dataset(channel.find(job.environment(), "train", Stop()), 32), progress)
    assert lengths == [11, 11, 10, 1, 1]
    assert (progress.step, progress.seen) == (2, 34)
