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


LEFT_TO_THE_END = """
import weakref
import torch
import pytorch_job.late
removals = [each for each in weakref.finalize._registry if each.peek()[1] is torch.library._del_library]
print(len(removals) > 0, any(each.atexit for each in removals))
kept = weakref.finalize(torch, print, "the end")
"""


def test_a_process_that_ends_takes_no_operation_out_of_torchs_table_and_does_all_else():
    command = [sys.executable, "-c", LEFT_TO_THE_END]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.stdout.split("\n") == ["True False", "the end", ""]
