"""A seed is PyTorch's own seed, set without what it does for GPUs that there are none of."""

import pytest
import torch
from pytorch_job.recipe import seed


@pytest.mark.parametrize("number", [0, 7, 2**64 - 1])
def test_numbers_of_a_cpu_are_those_that_pytorchs_own_seed_begins(number):
    torch.manual_seed(number)
    expected = torch.rand(3), torch.randperm(9)
    seed(number, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected[0])
    assert torch.equal(torch.randperm(9), expected[1])
    assert torch.initial_seed() == number
