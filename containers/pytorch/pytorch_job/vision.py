"""torchvision's networks, also beside a torch that its compiled half was not made for, as CPU builds are."""

import importlib
from types import ModuleType

import torch
from trainjob.errors import EntryPointError

_OPERATORS = ("nms", "qnms")
"""Named when torchvision is imported, and defined by its compiled half. No network here runs them."""
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def networks() -> ModuleType:
    """The module torchvision.models.

    Raises:
        EntryPointError: There is no torchvision.
    """
    try:
        return importlib.import_module("torchvision.models")
    except ModuleNotFoundError as error:
        raise EntryPointError(
            f"This program's networks are torchvision's, which this interpreter lacks ({error}); install it with "
            "pip install --no-deps torchvision, or use the image."
        ) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in _OPERATORS:
        torch.library.define(f"torchvision::{name}", _SCHEMA)
    return importlib.import_module("torchvision.models")
