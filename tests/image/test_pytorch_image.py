"""The PyTorch image as it ships: what it holds, what it must not hold, and that it works where there is no GPU."""

import json

import docker
import pytest

from scripts.images.entry import read_image
from scripts.images.revision import read_version
from tests.image.conftest import RunPython

MAX_BYTES = 7_000_000_000
"""Unpacked. PyTorch's own wheels and their CUDA are 6.3 GB of it."""

WORKS_ON_A_CPU = {
    "torch": """
import torch
layer = torch.nn.Linear(4, 2)
optimizer = torch.optim.AdamW(layer.parameters())
layer(torch.ones(3, 4)).sum().backward()
optimizer.step()
""",
    "torchvision": """
import torch, torchvision
torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
torchvision.models.resnet18()
""",
    "nvidia.dali": """
from nvidia.dali import fn, pipeline_def
@pipeline_def(batch_size=2, num_threads=1, device_id=None)
def numbers():
    return fn.random.uniform(range=[0.0, 1.0])
assert len(numbers().run()[0]) == 2
""",
    "matplotlib": """
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.savefig("/tmp/curve.png")
""",
    "sagemaker_training": "import sagemaker_training.cli.train",
}


def test_image_is_no_larger_than_seven_gigabytes_unpacked(
    docker_client: docker.DockerClient, pytorch_image: str
) -> None:
    layers = docker_client.images.get(pytorch_image).history()
    assert sum(layer["Size"] for layer in layers) <= MAX_BYTES


def test_labels_say_which_version_and_commit_the_image_is(
    docker_client: docker.DockerClient, pytorch_image: str
) -> None:
    labels = docker_client.images.get(pytorch_image).labels
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == read_image("pytorch").repository
    assert labels[prefix + "version"] == read_version()
    assert labels[prefix + "revision"]
    assert labels[prefix + "source"]


def test_image_starts_train_and_leaves_opt_ml_to_the_platform(
    docker_client: docker.DockerClient, pytorch_image: str, run_python: RunPython
) -> None:
    config = docker_client.images.get(pytorch_image).attrs["Config"]
    assert not config["Entrypoint"]
    assert config["Cmd"] == ["train"]
    found = run_python("import os, shutil; print(shutil.which('train'), os.path.exists('/opt/ml'), os.getcwd())")
    assert found == "/opt/venv/bin/train False /"


def test_runtime_holds_no_compiler_and_no_linker(run_python: RunPython) -> None:
    tools = ["as", "c++", "cc", "clang", "g++", "gcc", "ld", "make", "nvcc"]
    found = run_python(f"import json, shutil; print(json.dumps([t for t in {tools} if shutil.which(t)]))")
    assert json.loads(found) == []


@pytest.mark.parametrize("package", WORKS_ON_A_CPU)
def test_package_works_on_a_machine_without_a_gpu(package: str, run_python: RunPython) -> None:
    run_python(WORKS_ON_A_CPU[package])


def test_every_installed_package_finds_what_it_requires(run_python: RunPython) -> None:
    assert (
        run_python("import subprocess; subprocess.run(['pip', 'check'], check=True)") == "No broken requirements found."
    )


def test_cifar10_program_does_not_import_torchvision(run_python: RunPython) -> None:
    found = run_python(
        "import sys, pytorch_job.train_cifar10; print('torch' in sys.modules, 'torchvision' in sys.modules)"
    )
    assert found == "True False"


def test_program_is_found_whatever_pythonpath_a_user_sets(run_python: RunPython) -> None:
    code = "import trainjob, pytorch_job; print(trainjob.__file__, pytorch_job.__file__)"
    found = run_python(code, environment={"PYTHONPATH": "/nowhere"}, working_dir="/tmp")
    assert found == "/opt/program/trainjob/__init__.py /opt/program/pytorch_job/__init__.py"


def test_program_ships_compiled_and_is_not_checked_against_its_source(run_python: RunPython) -> None:
    code = """
from importlib.util import cache_from_source
from pathlib import Path
sources = list(Path("/opt/program").rglob("*.py"))
# PEP 552: the second word of a .pyc is 1 for a hash that is not checked.
print(len(sources) > 0, {Path(cache_from_source(source)).read_bytes()[4:8].hex() for source in sources})
"""
    assert run_python(code) == "True {'01000000'}"
