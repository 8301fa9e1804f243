import subprocess
import sys

BUSY_THREADS = """
import threading, time
import torch
from trainjob import lifecycle

def work():
    while True:
        torch.ones(200, 200) @ torch.ones(200, 200)

def main(env, stop):
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.3)

lifecycle.run(main, {"SAGEMAKER_BASE_DIR": "/nowhere"})
"""


def test_threads_at_work_in_pytorch_do_not_abort_a_program_that_is_done():
    done = subprocess.run([sys.executable, "-c", BUSY_THREADS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
