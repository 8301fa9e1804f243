"""What was taken off the image is not what torch.compile needs, once there is a compiler: examples/torch_compile."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from tests.image.conftest import RunPython

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "torch_compile"
SECONDS = 400
KERNEL = """
import sys
open("/tmp/kernel.py", "w").write('''
import triton
import triton.language as tl

@triton.jit
def add(x, y, n, size: tl.constexpr):
    at = tl.program_id(0) * size + tl.arange(0, size)
    tl.store(y + at, tl.load(x + at, mask=at < n) + 1, mask=at < n)
''')
sys.path.insert(0, "/tmp")
import kernel, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
source = ASTSource(
    fn=kernel.add,
    signature={"x": "*fp32", "y": "*fp32", "n": "i32", "size": "constexpr"},
    constexprs={"size": 128},
)
binary = triton.compile(source, target=GPUTarget("cuda", CAPABILITY, 32)).asm["cubin"]
print(binary[:4] == b"\\x7fELF", len(binary) > 1000)
"""
TRAINING = """
import torch
from torch._dynamo.utils import counters
torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4)
)
images = torch.randn(4, 3, 8, 8)
def step(model):
    net.zero_grad()
    loss = model(images).square().mean()
    loss.backward()
    return [loss.detach(), *(parameter.grad.clone() for parameter in net.parameters())]
plain = step(net)
torch.testing.assert_close(step(torch.compile(net, fullgraph=True)), plain)
print(counters["inductor"]["fxgraph_cache_miss"])
"""


@pytest.mark.parametrize("capability", [80, 90])
def test_triton_makes_a_kernel_for_a_gpu_that_is_not_here(run_python: RunPython, capability: int) -> None:
    assert run_python(KERNEL.replace("CAPABILITY", str(capability))) == "True True"


@pytest.fixture
def image_with_compiler(docker_client: docker.DockerClient, pytorch_image: str) -> Iterator[str]:
    tag = f"vision-training-compile:{uuid4().hex[:8]}"
    docker_client.images.build(path=str(EXAMPLE), tag=tag, buildargs={"BASE": pytorch_image}, rm=True, forcerm=True)
    yield tag
    docker_client.images.remove(tag, force=True)


@pytest.mark.soak  # compilers are fetched, and C++ is compiled: minutes on a slow machine
def test_compiled_step_gives_the_gradients_of_the_plain_one(run_python_in: RunPython, image_with_compiler: str) -> None:
    assert run_python_in(image_with_compiler, TRAINING, seconds=SECONDS) == "2"  # forward and backward
