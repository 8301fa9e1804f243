"""Draws a stand-in for CIFAR-10, in its published layout: ten shapes and textures that a small network can learn.

The bytes are the same on every machine: PCG64's raw output, which numpy promises to keep, and integers from there on.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from trainjob.cifar10 import CLASSES, IMAGE_SHAPE, META_FILE, RECORD_BYTES, TEST_FILES, TRAIN_FILES

VERSION = 1
"""To be raised when other bytes are drawn."""
TRAIN_RECORDS, TEST_RECORDS = 10_000, 2_000
SIDE = IMAGE_SHAPE[1]

Grid = NDArray[np.int32]
Shape = Callable[[Grid, Grid, Grid, Grid], NDArray[np.bool_]]

# Of pixels at (u, v) from the centre: which belong to a figure of radius r, whose texture begins at phase p?
_SHAPES: tuple[Shape, ...] = (
    lambda u, v, r, p: u * u + v * v <= r * r,  # disc
    lambda u, v, r, p: (u * u + v * v <= r * r) & (4 * (u * u + v * v) >= r * r),  # ring
    lambda u, v, r, p: _extent(u, v) <= r,  # square
    lambda u, v, r, p: (abs(v) <= r) & (2 * abs(u) <= v + r),  # triangle
    lambda u, v, r, p: abs(u) + abs(v) <= r + 2,  # diamond
    lambda u, v, r, p: (_extent(u, v) <= r) & (np.minimum(abs(u), abs(v)) <= r // 4),  # cross
    lambda u, v, r, p: (_extent(u, v) <= r) & (abs(abs(u) - abs(v)) <= r // 3),  # X
    lambda u, v, r, p: (_extent(u, v) <= r) & ((v + p) % 4 < 2),  # lying stripes
    lambda u, v, r, p: (_extent(u, v) <= r) & ((u + p) % 4 < 2),  # standing stripes
    lambda u, v, r, p: (_extent(u, v) <= r) & (((u + p) // 3 + (v + p) // 3) % 2 == 0),  # chequers
)


def write(folder: Path) -> None:
    """Writes the published files into a new folder; training and test images differ."""
    folder.mkdir(parents=True)
    for names, count, seed in ((TRAIN_FILES, TRAIN_RECORDS, 0), (TEST_FILES, TEST_RECORDS, 1)):
        _write_split(folder, names, draw(count, seed))
    (folder / META_FILE).write_text("\n".join(CLASSES) + "\n")


def draw(count: int, seed: int) -> NDArray[np.uint8]:
    """Draws records `(count, RECORD_BYTES)`, every class equally often, in a mixed order."""
    bits = np.random.PCG64(seed)
    order = np.argsort(bits.random_raw(count), kind="stable")
    labels = (np.arange(count) % len(CLASSES))[order]
    records = np.empty((count, RECORD_BYTES), np.uint8)
    records[:, 0] = labels
    dice = bits.random_raw(16 * count).reshape(16, count)
    for label in range(len(CLASSES)):
        chosen = np.flatnonzero(labels == label)
        records[chosen, 1:] = _paint(_SHAPES[label], dice[:, chosen], bits).reshape(len(chosen), -1)
    return records


def _paint(shape: Shape, dice: NDArray[np.uint64], bits: np.random.PCG64) -> NDArray[np.uint8]:
    """Pictures `(n, 3, SIDE, SIDE)` of one figure at n places, in n pairs of colours, under noise and a blot."""
    throws = iter(dice)

    def roll(least: int, most: int) -> Grid:
        rolled: Grid = (next(throws) % np.uint64(most - least + 1)).astype(np.int32) + least
        return rolled[:, None, None]

    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.int32)
    u, v = columns - roll(11, 20), rows - roll(11, 20)
    figure = shape(u, v, roll(7, 12), roll(0, 5))[:, None]
    slope = (roll(-2, 2) * (columns - SIDE // 2) + roll(-2, 2) * (rows - SIDE // 2))[:, None]
    ground = np.stack([roll(60, 195) for _ in range(3)], axis=1)
    contrast = np.stack([roll(20, 95) for _ in range(3)], axis=1) * (1 - 2 * roll(0, 1))[:, None]
    blot = (abs(columns - roll(0, 31)) <= 2) & (abs(rows - roll(0, 31)) <= 2)
    noise = bits.random_raw(figure.shape[0] * 3 * SIDE * SIDE // 8).astype("<u8").view(np.uint8)
    pixels = ground + slope + figure * contrast
    pixels = np.where(blot[:, None], 255 - ground, pixels)
    pixels += (noise.reshape(pixels.shape).astype(np.int32) - 128) // 4
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _extent(u: Grid, v: Grid) -> Grid:
    return np.maximum(abs(u), abs(v))


def _write_split(folder: Path, names: Sequence[str], records: NDArray[np.uint8]) -> None:
    for name, part in zip(names, np.array_split(records, len(names)), strict=True):
        part.tofile(folder / name)
