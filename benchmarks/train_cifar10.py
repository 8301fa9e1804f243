"""Training Net on CIFAR-10: streamed beside the same loop on data in memory, and beside the workshop's loop.

    make bench/train_cifar10

`stream` and `memory` follow the default recipe (batch 128, fp32), which trains to the accuracy the README tells.
`stream_fast` is the same program set for speed alone: batch 512, and bf16 where the CPU has it.

The workshop's loop is 03_training/pytorch/cifar10.py of aws-samples/end-to-end-workshop-for-computer-vision: one image
at a time through ToTensor and Normalize, a DataLoader with 2 workers, batches of 4, SGD. Its two transforms are written
out here, because torchvision does not load beside every build of torch.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_job import inputs, models, saving
from pytorch_job.recipe import Recipe
from pytorch_job.training import Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset
from trainjob import channel, cifar10
from trainjob.contract import PIPE, Paths
from trainjob.environment import ChannelConfig, JobEnvironment
from trainjob.stop import Stop

from benchmarks.rounds import measure, ratio, report

WORKSHOP_IMAGES = 3_000
WINDOW = 10_000
CPU = torch.device("cpu")


def real_records() -> NDArray[np.uint8]:
    """CIFAR-10's training records from $REAL_DATA, else random ones of the same form: the work is the same."""
    folder = Path(os.environ.get("REAL_DATA", "data")) / cifar10.FOLDER
    files = [folder / name for name in cifar10.TRAIN_FILES]
    if all(file.is_file() for file in files):
        print(f"data: {folder}")
        return np.concatenate([np.fromfile(file, np.uint8).reshape(-1, cifar10.RECORD_BYTES) for file in files])
    print(f"data: random records, as {folder} holds no CIFAR-10; name its parent in REAL_DATA")
    records = np.random.default_rng(0).integers(0, 256, (cifar10.TRAIN_RECORDS, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] %= len(cifar10.CLASSES)
    return records


class InMemory:
    """What `Dataset` is to the loop, with no stream: the records lie in memory and are drawn by index."""

    def __init__(self, records: NDArray[np.uint8], batch_size: int) -> None:
        self._records, self._batch_size = records, batch_size

    def epoch(self, number: int) -> Iterator[NDArray[np.uint8]]:
        """Batches in a fresh order."""
        order = np.random.default_rng(number).permutation(len(self._records))
        for start in range(0, len(order), self._batch_size):
            yield self._records[order[start : start + self._batch_size]]


class OneByOne(Dataset[tuple[torch.Tensor, int]]):
    """The workshop's data set: an image at a time, as PIL's, through ToTensor and Normalize."""

    def __init__(self, records: NDArray[np.uint8]) -> None:
        self._images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
        self._labels = records[:, 0].astype(int).tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self._images[index])
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        pixels = pixels.view(picture.size[1], picture.size[0], len(picture.getbands())).permute(2, 0, 1).contiguous()
        tensor = pixels.to(torch.get_default_dtype()).div(255).clone()
        mean = torch.as_tensor((0.5, 0.5, 0.5), dtype=tensor.dtype, device=tensor.device)
        std = torch.as_tensor((0.5, 0.5, 0.5), dtype=tensor.dtype, device=tensor.device)
        if (std == 0).any():  # as Normalize does it, for every image
            raise ValueError(std)
        return tensor.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), self._labels[index]


class WorkshopNet(models.Net):
    """The same network with the workshop's forward pass: it activates before it pools."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `(n, classes)` of images `(n, 3, 32, 32)`."""
        pool = nn.functional.max_pool2d
        hidden = pool(nn.functional.relu(self.conv1(images)), 2)
        hidden = pool(nn.functional.relu(self.conv2(hidden)), 2)
        hidden = nn.functional.relu(self.fc1(hidden.view(-1, 16 * 5 * 5)))
        return self.fc3(nn.functional.relu(self.fc2(hidden)))


def _feed(folder: Path, content: NDArray[np.uint8]) -> None:
    view = memoryview(content.reshape(-1))
    for epoch in range(1000):
        with (folder / f"train_{epoch}").open("wb", buffering=0) as fifo:
            sent = 0
            while sent < len(view):
                try:
                    sent += fifo.write(view[sent : sent + (1 << 20)]) or 0
                except BrokenPipeError:
                    return  # the last epoch, opened ahead and not read
        os.mkfifo(folder / f"train_{epoch + 1}")
        (folder / f"train_{epoch}").unlink()


def _pipe_channel(base: Path) -> channel.Channel:
    config = ChannelConfig(
        name="train", input_mode=PIPE, content_type=None, distribution="FullyReplicated", record_wrapper="None"
    )
    job = JobEnvironment(
        paths=Paths(base),
        job_name="benchmark",
        hyperparameters={},
        channels={"train": config},
        hosts=("algo-1",),
        current_host="algo-1",
        network_interface="eth0",
    )
    return channel.find(job, "train", Stop())


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself."""
    flags = Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _trainer(recipe: Recipe) -> Trainer:
    model = models.build("net").to(memory_format=recipe.memory_format)
    return Trainer(recipe, model, recipe.optimize(model), CPU, Stop())


def _images_per_second(trainer: Trainer, data: Any, count: int) -> float:
    progress = saving.Progress(epoch_records=count)
    return count / trainer.train_epoch(data, progress)["seconds"]


def _workshop(records: NDArray[np.uint8]) -> float:
    model = WorkshopNet(len(cifar10.CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(OneByOne(records), batch_size=4, shuffle=True, num_workers=2)
    batches = iter(loader)
    next(batches)  # starting workers is not counted against it
    begun = time.perf_counter()
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
    return (len(records) - 4) / (time.perf_counter() - begun)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description="Training Net on CIFAR-10.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    records = real_records()
    default, fast = Recipe(), Recipe(batch_size=512, precision="bf16" if has_bf16() else "fp32")
    trainer, fast_trainer = _trainer(default), _trainer(fast)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        Paths(base).data.mkdir(parents=True)
        os.mkfifo(Paths(base).fifo("train", 0))
        feeder = get_context("fork").Process(target=_feed, args=(Paths(base).data, records), daemon=True)
        feeder.start()
        train = _pipe_channel(base)
        stream = inputs.cifar10_dataset(train, default.batch_size, window=WINDOW)
        fast_stream = inputs.cifar10_dataset(train, fast.batch_size, window=WINDOW)
        memory = InMemory(records, default.batch_size)
        contestants: dict[str, Callable[[], float]] = {
            "stream": lambda: _images_per_second(trainer, stream, len(records)),
            "memory": lambda: _images_per_second(trainer, memory, len(records)),
            "stream_fast": lambda: _images_per_second(fast_trainer, fast_stream, len(records)),
            "workshop": lambda: _workshop(records[:WORKSHOP_IMAGES]),
        }
        contestants["memory"]()  # the first epoch of a process warms caches up for the others
        figures = measure(contestants, rounds)
        train.close()
        feeder.terminate()
        feeder.join(10)
    ratios = {
        "stream_vs_memory": ratio(figures, "memory", "stream"),
        "images_vs_workshop": ratio(figures, "stream_fast", "workshop"),
        "default_vs_workshop": ratio(figures, "stream", "workshop"),
    }
    unit = f"images/s; stream_vs_memory is of epoch times; fast: batch {fast.batch_size}, {fast.precision}"
    report("train_cifar10", unit, figures, ratios, records=len(records))


if __name__ == "__main__":
    main()
