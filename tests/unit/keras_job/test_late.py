"""What is done before programs are forked: nothing that a fork would be without."""

import subprocess
import sys

import pytest

FACTS = """
import os
import keras
from tensorflow.python.eager import context
threads = len(os.listdir("/proc/self/task"))
import keras_job.late
print(len(os.listdir("/proc/self/task")) - threads, context.context()._initialized)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs are forked on Linux alone")
def test_no_thread_is_started_and_no_runtime_made():
    done = subprocess.run([sys.executable, "-c", FACTS], check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.stdout.split() == ["0", "False"]
