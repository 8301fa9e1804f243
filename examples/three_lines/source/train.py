"""Classify CIFAR-10 from a channel in any input mode: a script of a user's own, with three lines of trainjob."""

import argparse
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from trainjob.dataset import connect  # 1

RECORD_BYTES = 1 + 3 * 32 * 32


def tensors(rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, scaled to -0.5..0.5, and labels of records `(n, RECORD_BYTES)` uint8."""
    batch = torch.from_numpy(rows)
    return batch[:, 1:].reshape(-1, 3, 32, 32).float() / 255 - 0.5, batch[:, 0].long()


def main() -> None:
    """Train, say how it goes, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    arguments, _ = parser.parse_known_args()

    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 5, stride=2), nn.Conv2d(16, 32, 5, stride=2)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(32 * 5 * 5, 10))
    optimizer = torch.optim.Adam(model.parameters(), arguments.learning_rate)
    train = connect("train", record_bytes=RECORD_BYTES, batch_size=128, window=10_000)  # 2
    for epoch in range(arguments.epochs):
        for rows in train.epoch(epoch):  # 3
            images, labels = tensors(rows)
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"train:loss={loss.item():.4f};", flush=True)

    held_out = connect("validation", record_bytes=RECORD_BYTES, batch_size=1000)
    with torch.inference_mode():
        hits = [model(images).argmax(1) == labels for images, labels in map(tensors, held_out.epoch(0))]
    print(f"validation:accuracy={torch.cat(hits).float().mean().item():.4f};", flush=True)
    torch.save(model.state_dict(), Path(os.environ["SM_MODEL_DIR"]) / "model.pt")


if __name__ == "__main__":
    main()
