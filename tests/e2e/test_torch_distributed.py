"""A script of one's own with torch.distributed, as SDK v2's `distribution={"torch_distributed": ...}` asks for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from trainjob.contract import FILE, HP_PROGRAM, HP_SUBMIT_DIRECTORY, HP_TORCH_DISTRIBUTED, Paths

from scripts.local_job import LocalJob, build_request, made_ready
from tests.e2e.conftest import JOB_SECONDS, ROOT, EndedJob, read_job

SCRIPT = """
import os, pathlib
import torch
import torch.distributed as dist
dist.init_process_group("gloo", init_method="env://")
rank, count = dist.get_rank(), dist.get_world_size()
value = torch.tensor([float(2 ** rank)])
dist.all_reduce(value)
local = os.environ["LOCAL_RANK"], os.environ["LOCAL_WORLD_SIZE"]
print(f"rank {rank} of {count}, local {local[0]} of {local[1]}: {int(value)}", flush=True)
dist.destroy_process_group()
if rank == 0:
    pathlib.Path(os.environ["SM_MODEL_DIR"], "sum").write_text(str(int(value)))
"""
TWO_GPUS = "#!/bin/sh\necho 'GPU 0: a stand-in'\necho 'GPU 1: a stand-in'\n"


def run(folder: Path, hosts: int, *, gpus: bool) -> EndedJob:
    """A job of that script on some hosts, each with two GPUs or what this machine has."""
    source, state, environment = folder / "source", folder / "state", {}
    source.mkdir()
    (source / "train.py").write_text(SCRIPT)
    if gpus:  # what counts GPUs is looked up in PATH; the code's channel is the one folder of ours that a job sees
        listing = source / "nvidia-smi"
        listing.write_text(TWO_GPUS)
        listing.chmod(0o755)
        environment["PATH"] = f"{Paths().channel('code')}:/usr/local/bin:/usr/bin:/bin"
    parameters = {
        HP_PROGRAM: "train.py",
        HP_SUBMIT_DIRECTORY: str(Paths().channel("code")),
        HP_TORCH_DISTRIBUTED: "true",
    }
    job = LocalJob(
        framework="pytorch", label="torch", input_mode=FILE, channels={}, code=source, hosts=hosts,
        hyperparameters=parameters, environment=environment, state=state,
    )  # fmt: skip
    running = made_ready("pytorch", "process", None, state)
    request = folder / "request.json"
    request.write_text(json.dumps(build_request(job, "torch-distributed")))
    command = [sys.executable, "-m", "local_mode", "train", str(request), *running, "--root", str(state)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=JOB_SECONDS, check=False)
    return read_job(state, ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("hosts", "gpus", "ranks"),
    [
        (2, False, ["rank 0 of 2, local 0 of 1: 3", "rank 1 of 2, local 0 of 1: 3"]),
        (2, True, [f"rank {rank} of 4, local {rank % 2} of 2: 15" for rank in range(4)]),
        (1, True, [f"rank {rank} of 2, local {rank} of 2: 3" for rank in range(2)]),
    ],
    ids=["two hosts", "two hosts of two GPUs", "one host of two GPUs"],
)
def test_script_of_torch_distributed_finds_one_rank_for_each_gpu_of_all_hosts(
    tmp_path: Path, hosts: int, gpus: bool, ranks: list[str]
):
    job = run(tmp_path, hosts, gpus=gpus)

    assert job.exit_code == 0, job.err
    found = [line.rpartition(" | ")[2] for line in job.out.splitlines() if "rank " in line]
    assert sorted(found) == ranks
