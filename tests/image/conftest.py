"""Fixtures of the image tests: Python, run inside the PyTorch image."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.containers import RunContainer

RunPython = Callable[..., str]


@pytest.fixture
def run_python(run_container: RunContainer, pytorch_image: str) -> RunPython:
    """Runs a piece of Python in the image and returns what it printed; a failure shows the output."""

    def run(code: str, **settings: Any) -> str:
        ended = run_container(pytorch_image, ["python", "-W", "ignore", "-c", code], **settings)
        assert ended.exit_code == 0, ended.output
        return ended.output.strip()

    return run
