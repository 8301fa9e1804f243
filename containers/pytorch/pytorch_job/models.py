"""The networks, untrained. Input: normalised images `(n, 3, h, w)` float; output: logits `(n, classes)`."""

import difflib
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from trainjob.errors import HyperparameterError

from pytorch_job import vision

Name = Literal["net", "resnet"]


def build(name: Name, classes: int = 10) -> nn.Module:
    """The network of that name with fresh weights drawn from torch's global generator."""
    return {"net": Net, "resnet": ResNet}[name](classes)


class Net(nn.Module):
    """The workshop's network: two convolutions, three dense layers, 62,006 weights. Made for a CPU."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, classes)` of images `(n, 3, 32, 32)`."""
        # Pooling before the activation gives the same values (both are monotonic) for a quarter of its work.
        hidden = functional.relu(functional.max_pool2d(self.conv1(images), 2))
        hidden = functional.relu(functional.max_pool2d(self.conv2(hidden), 2))
        hidden = functional.relu(self.fc1(hidden.flatten(1)))
        return self.fc3(functional.relu(self.fc2(hidden)))


class ResNet(nn.Module):
    """A nine-layer residual network after David Page's "How to train your ResNet". Made for a GPU, 6.6 M weights."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _convolution(3, 64)
        self.stage1 = nn.Sequential(_convolution(64, 128), nn.MaxPool2d(2), _Residual(128))
        self.stage2 = nn.Sequential(_convolution(128, 256), nn.MaxPool2d(2))
        self.stage3 = nn.Sequential(_convolution(256, 512), nn.MaxPool2d(2), _Residual(512))
        self.head = nn.Linear(512, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, classes)` of images `(n, 3, 32, 32)`."""
        features = self.stage3(self.stage2(self.stage1(self.stem(images))))
        return 0.125 * self.head(torch.amax(features, dim=(2, 3)))  # keeps the first steps' softmax soft


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.body(images)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def photograph_model(name: str, classes: int, side: int) -> nn.Module:
    """A classification network of torchvision by its name, fresh weights drawn from torch's global generator.

    Args:
        name: As torchvision has it, such as `resnet50`.
        classes: Number of logits.
        side: Of the images, pixels; transformers are built for one size.

    Raises:
        HyperparameterError: There is no such network, or none for such images; names some that are like it.
    """
    models = vision.networks()
    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known, 5) or ["resnet18", "resnet50", "efficientnet_v2_s"]
        raise HyperparameterError(
            f"'model' is '{name}', which torchvision has not; it has {len(known)}, like {', '.join(near)}."
        )
    settings: dict[str, object] = {}
    if name.startswith("vit_"):
        settings = {"image_size": side}
    elif name.startswith("maxvit_"):
        settings = {"input_size": (side, side)}
    elif name in ("googlenet", "inception_v3"):
        settings = {"aux_logits": False, "init_weights": True}
    try:
        model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **settings)
        with torch.inference_mode():  # many tell only from an image that it is too small for them
            model.eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise HyperparameterError(
            f"'model' {name} cannot be made for images of {side} px ({str(error).splitlines()[0]}); set another "
            "image_size, or another model."
        ) from error
    return model.train()


def head(model: nn.Module) -> nn.Module:
    """The last layer with weights: the one that knows the classes."""
    return [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
