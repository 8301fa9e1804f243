"""One round of `make bench/decode` in the PyTorch image: figures of every way, as JSON on the last line.

    python -m benchmarks.decode_pytorch PHOTOGRAPHS [--device gpu]

PHOTOGRAPHS holds a folder a class. Train crops of 224 pixels, batches of 64, to normalised floats on the device.
"""

import argparse
import functools
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from nvidia.dali import fn, types
from nvidia.dali.pipeline import Pipeline
from PIL import Image
from pytorch_job import inputs, photographs
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2
from trainjob import cub200
from trainjob.channel import Channel
from trainjob.photographs.showing import Showing, Shown

from benchmarks.photograph_channel import in_a_pipe, in_files, speed

SIDE, BATCH, WORKERS = 224, 64, 2
TIMES = 4
"""How often each photograph stands in an epoch."""
CACHE_BYTES = 8 << 30
LATER = range(1, 4)
"""Epochs of a set that is kept."""


class Decoded(Dataset[tuple[torch.Tensor, int]]):
    """torchvision's own decoder in place of PIL."""

    def __init__(self, files: list[tuple[str, int]]) -> None:
        self._files = files
        self._show = v2.Compose(
            [
                v2.RandomResizedCrop(SIDE, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(cub200.MEAN, cub200.STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self._files[index]
        return self._show(decode_jpeg(read_file(path), ImageReadMode.RGB)), label


def showing(*, antialias: bool, keep: bool = False) -> Showing:
    """Ours, at torchvision's range of areas."""
    return Showing(
        classes=1000, side=SIDE, batch_size=BATCH, seed=0, window=0, least_area=0.08, use_boxes=False,
        antialias=antialias, on_corrupt="fail", keep_bytes=CACHE_BYTES if keep else 0,
    )  # fmt: skip


def main() -> None:
    """Runs each way once."""
    parser = argparse.ArgumentParser(description="One round of the decode benchmark.")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    arguments = parser.parse_args()
    device = torch.device("cuda" if arguments.device == "gpu" else "cpu")
    with tempfile.TemporaryDirectory() as scratch:
        files = in_files(Path(scratch) / "file", arguments.photographs, TIMES)
        with in_a_pipe(Path(scratch) / "pipe", files) as pipe:
            ways = on_gpu(files, device) if device.type == "cuda" else on_cpu(files)
            ways |= ours(files, pipe, device)
            figures = {name: way() for name, way in ways.items()}
    print(json.dumps(figures), flush=True)


def ours(files: Channel, pipe: Channel, device: torch.device) -> dict[str, Callable[[], float]]:
    """The program's own way, from each kind of channel, and from what it keeps."""

    make = functools.partial(photographs.decoder, choice="dali", device=device)
    normalise = inputs.Normalise(device, torch.channels_last, (cub200.MEAN, cub200.STD))
    shelf = photographs.OnDevice(device)
    kept = showing(antialias=False, keep=True).training(files, make, shelf)

    def shown(batches: Shown, number: int) -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        for images, _ in photographs.epoch(batches, number, device):
            yield normalise(inputs.flip(images, generator))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def run(channel: Channel, *, antialias: bool) -> float:
        return speed(shown(showing(antialias=antialias).training(channel, make, shelf), 0), len)

    return {
        "antialias": lambda: run(files, antialias=True),
        "plain": lambda: run(files, antialias=False),
        "pipe": lambda: run(pipe, antialias=False),
        "cached_first": lambda: speed(shown(kept, 0), len),
        "cached_later": lambda: speed(itertools.chain.from_iterable(shown(kept, number) for number in LATER), len),
    }


def on_cpu(files: Channel) -> dict[str, Callable[[], float]]:
    """What others do on a CPU."""
    show = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(cub200.MEAN, cub200.STD),
        ]
    )
    folder = datasets.ImageFolder(str(files.folder), show, loader=_open)

    def loaded(data: Dataset[tuple[torch.Tensor, int]]) -> float:
        loader = DataLoader(data, BATCH, shuffle=True, num_workers=WORKERS)
        return speed(loader, lambda batch: len(batch[1]))

    return {
        "pil": lambda: loaded(folder),
        "decode_jpeg": lambda: loaded(Decoded(folder.samples)),
        "dali_reader": lambda: speed(_dali_reader(folder.samples), len),
    }


def on_gpu(files: Channel, device: torch.device) -> dict[str, Callable[[], float]]:
    """torchvision's decoder of CUDA, a batch at a time."""
    paths = [path for path, _ in datasets.ImageFolder(str(files.folder)).samples]
    show = v2.RandomResizedCrop(SIDE, antialias=True)
    normalise = inputs.Normalise(device, torch.channels_last, (cub200.MEAN, cub200.STD))

    def batches() -> Iterator[torch.Tensor]:
        for start in range(0, len(paths), BATCH):
            read = [read_file(path) for path in paths[start : start + BATCH]]
            pixels = decode_jpeg(read, ImageReadMode.RGB, device=device)
            yield normalise(torch.stack([show(each) for each in pixels]))
        torch.cuda.synchronize(device)

    return {"torchvision_cuda": lambda: speed(batches(), len)}


def _open(path: str) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _dali_reader(samples: list[tuple[str, int]]) -> Iterator[torch.Tensor]:
    """DALI's own reader of files and its fused random crop, as its manual has them."""
    graph = Pipeline(batch_size=BATCH, num_threads=os.cpu_count() or 1, device_id=None)
    with graph:
        jpegs, labels = fn.readers.file(
            files=[path for path, _ in samples], labels=[label for _, label in samples], random_shuffle=True
        )
        images = fn.decoders.image_random_crop(jpegs, output_type=types.RGB, random_area=[0.08, 1.0])
        images = fn.resize(images, size=[SIDE, SIDE], interp_type=types.INTERP_LINEAR, antialias=False)
        mean, std = ([255 * value for value in values] for values in (cub200.MEAN, cub200.STD))
        images = fn.crop_mirror_normalize(images, mirror=fn.random.coin_flip(), mean=mean, std=std)
        graph.set_outputs(images, labels)
    graph.build()
    for _ in range(len(samples) // BATCH):
        yield torch.from_numpy(graph.run()[0].as_array())


if __name__ == "__main__":
    main()
