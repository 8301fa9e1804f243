"""Fixtures of the tests that need a GPU."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import pytest
from trainjob.photographs import dali_pipelines

REQUIRE = "REQUIRE_GPU"
"""Environment variable: where it is 1, as `make test/gpu` sets it, a missing GPU is a failure and not a skip."""


def _missing() -> str:
    """What there is not of a GPU and of DALI; empty when all is there."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"no driver of a GPU: {error}"
    count = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        return f"no GPU: the driver counts {count.value} (code {code})"
    reason = dali_pipelines.why_not()
    return f"no DALI: {reason}" if reason else ""


@pytest.fixture(scope="session")
def device() -> int:
    """The number of a GPU that DALI can use."""
    missing = _missing()
    if missing and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{missing} ({REQUIRE}=1)", pytrace=False)
    if missing:
        pytest.skip(missing)
    return 0


def _torch() -> Callable[[Any], Any]:
    import torch  # noqa: PLC0415 - where it is installed

    return lambda tensor: torch.from_dlpack(tensor).clone()


def _tensorflow() -> Callable[[Any], Any]:
    import tensorflow as tf  # noqa: PLC0415 - where it is installed

    return lambda tensor: tf.identity(tf.experimental.dlpack.from_dlpack(tensor.__dlpack__()))


@pytest.fixture(scope="session")
def take(device: int) -> Callable[[Any], Any]:
    """Takes a batch of DALI's into the framework that is installed here, by DLPack, as a copy of its own."""
    for found in (_torch, _tensorflow):
        try:
            return found()
        except ImportError:
            continue
    pytest.fail("neither PyTorch nor TensorFlow is installed here; run this inside an image", pytrace=False)
