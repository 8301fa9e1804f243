"""What is done before programs are forked: nothing that a fork would be without, or that it would have of another."""

import subprocess
import sys

import pytest

FACTS = """
import os
import torch
threads, state = len(os.listdir("/proc/self/task")), torch.get_rng_state()
import pytorch_job.late
print(len(os.listdir("/proc/self/task")) - threads, torch.equal(torch.get_rng_state(), state))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are forked on Linux alone")
def test_no_thread_is_started_and_random_numbers_are_those_of_a_fresh_process():
    done = subprocess.run([sys.executable, "-c", FACTS], check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.stdout.split() == ["0", "True"]
