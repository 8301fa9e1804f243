"""What the PyTorch image must do."""

import torch


def import_framework() -> str:
    """The framework that is imported, and what it sees of the machine."""
    import torchvision  # noqa: PLC0415 - its import is part of the check

    seen = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}, {seen}"


def convolution() -> str:
    """Forward and backward through a network with convolutions; a step makes the loss smaller."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(16, 10),
    ).to(device)  # fmt: skip
    images, labels = torch.rand(64, 3, 32, 32, device=device), torch.arange(64, device=device) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], losses
    return f"on {device}, loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps"
