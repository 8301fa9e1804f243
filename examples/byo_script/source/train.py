"""Classify CIFAR-10: a script as its author would bring it to script mode, with nothing of this project in it."""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

import humanize
import numpy as np
import torch
from torch import nn
from torch.nn import functional

RECORD_BYTES = 1 + 3 * 32 * 32


def read_epoch(channel: str, epoch: int) -> bytes:
    """All bytes of a channel: from the FIFO of this epoch in Pipe mode, else from the files in its folder."""
    mode = json.loads(os.environ["SM_INPUT_DATA_CONFIG"])[channel]["TrainingInputMode"]
    path = Path(os.environ[f"SM_CHANNEL_{channel.upper()}"])
    if mode == "Pipe":
        return Path(f"{path}_{epoch}").read_bytes()
    return b"".join(file.read_bytes() for file in sorted(path.iterdir()))


def batches(records: bytes, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images, scaled to -0.5..0.5, and their labels."""
    rows = torch.from_numpy(np.frombuffer(records, np.uint8).reshape(-1, RECORD_BYTES).copy())
    for part in rows.split(size):
        yield part[:, 1:].reshape(-1, 3, 32, 32).float() / 255 - 0.5, part[:, 0].long()


def build() -> nn.Module:
    """Two convolutions and a linear layer."""
    first, second = nn.Conv2d(3, 16, 5, stride=2), nn.Conv2d(16, 32, 5, stride=2)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(32 * 5 * 5, 10))


def main() -> None:
    """Train, say how it goes, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--note", default="", help="printed as it came, whatever characters it holds")
    arguments = parser.parse_args()
    print(f"note: {arguments.note}", flush=True)

    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), arguments.learning_rate)
    for epoch in range(arguments.epochs):
        records = read_epoch("train", epoch)
        print(f"epoch {epoch + 1}: {humanize.naturalsize(len(records))} to learn from", flush=True)
        for images, labels in batches(records, 128):
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"train:loss={loss.item():.4f};", flush=True)

    with torch.inference_mode():
        held_out = batches(read_epoch("validation", 0), 1000)
        hits = torch.cat([model(images).argmax(1) == labels for images, labels in held_out])
    print(f"validation:accuracy={hits.float().mean().item():.4f};", flush=True)
    torch.save(model.state_dict(), Path(os.environ["SM_MODEL_DIR"]) / "model.pt")


if __name__ == "__main__":
    main()
