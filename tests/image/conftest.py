"""Fixtures of the image tests: Python, run inside an image."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.containers import RunContainer

RunPython = Callable[..., str]


@pytest.fixture
def run_python_in(run_container: RunContainer) -> RunPython:
    """Runs a piece of Python in an image and returns what it printed; a failure shows the output."""

    def run(image: str, code: str, **settings: Any) -> str:
        ended = run_container(image, ["python", "-W", "ignore", "-c", code], **settings)
        assert ended.exit_code == 0, ended.output
        return ended.output.strip()

    return run


@pytest.fixture
def run_python(run_python_in: RunPython, pytorch_image: str) -> RunPython:
    """Runs a piece of Python in the PyTorch image."""
    return lambda code, **settings: run_python_in(pytorch_image, code, **settings)
