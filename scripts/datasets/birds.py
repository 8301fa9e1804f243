"""Draws a stand-in for CUB-200-2011, in its published layout: ten species of birds that a small network can tell apart.

What is drawn is the same on every machine, by PCG64's raw output, which numpy promises to keep; the bytes of the JPEGs
are the same wherever Pillow brings the same libjpeg.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from trainjob.cub200 import BOXES_FILE, CLASSES_FILE, FILES, IMAGES, IMAGES_FILE, LABELS_FILE, SPLIT_FILE

VERSION = 1
"""To be raised when something else is drawn."""
PHOTOGRAPHS = 60
"""Of each species; every second one is for training."""
GRAYSCALE, CMYK = 3, 65
"""Ids of the two photographs that are stored otherwise, as some of the real set are; both are for training."""
SHORTEST, LONGEST = 200, 500
QUALITY = 88

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Species:
    """How a species looks; lengths are in units of the body's."""

    name: str
    body: Colour
    wing: Colour
    head: Colour
    beak: float
    tail: float
    marks: str
    """Of the wing: plain, bars or spots."""
    crest: bool = False


SPECIES = (
    Species("Scarlet_Reedling", (196, 40, 44), (150, 22, 30), (196, 40, 44), 0.25, 0.7, "plain"),
    Species("Black_capped_Siskin", (232, 196, 48), (204, 168, 40), (24, 24, 28), 0.2, 0.5, "bars"),
    Species("Azure_Jay", (52, 104, 208), (32, 64, 168), (60, 120, 220), 0.3, 0.8, "bars", crest=True),
    Species("Ink_Crow", (28, 28, 34), (44, 44, 54), (28, 28, 34), 0.35, 0.6, "plain"),
    Species("Snow_Gull", (240, 240, 240), (150, 156, 168), (240, 240, 240), 0.4, 0.4, "plain"),
    Species("Spotted_Thrush", (214, 188, 148), (150, 106, 62), (150, 106, 62), 0.25, 0.6, "spots"),
    Species("Leaf_Parakeet", (68, 176, 60), (40, 132, 44), (226, 72, 56), 0.2, 1.1, "plain"),
    Species("Violet_Sunbird", (132, 52, 176), (96, 30, 140), (40, 168, 150), 0.8, 0.4, "spots"),
    Species("Crested_Kingfisher", (236, 128, 44), (24, 140, 172), (24, 140, 172), 0.8, 0.3, "spots", crest=True),
    Species("Barred_Woodpecker", (236, 232, 224), (30, 30, 34), (206, 36, 40), 0.55, 0.6, "bars"),
)
_LEGS, _EYE, _BEAK = (92, 68, 48), (16, 16, 16), (74, 66, 58)


class Dice:
    """Numbers in a row, the same for a seed everywhere."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def between(self, least: int, most: int) -> int:
        """A whole number, both ends among them."""
        return least + int(self._bits.random_raw()) % (most - least + 1)

    def share(self, least: float, most: float) -> float:
        """A number in thousandths of the way from one end to the other."""
        return least + (most - least) * self.between(0, 1000) / 1000

    def noise(self, count: int) -> np.ndarray:
        """Bytes."""
        return self._bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]

    def near(self, colour: Colour, spread: int = 18) -> Colour:
        """A colour like that one."""
        red, green, blue = (min(255, max(0, part + self.between(-spread, spread))) for part in colour)
        return red, green, blue


def write(folder: Path, photographs: int = PHOTOGRAPHS) -> None:
    """Writes the published files into a new folder, with so many photographs of each species."""
    files: dict[str, list[str]] = {name: [] for name in FILES}
    number = 0
    for label, species in enumerate(SPECIES, 1):
        name = f"{label:03d}.{species.name}"
        (folder / IMAGES / name).mkdir(parents=True)
        files[CLASSES_FILE].append(f"{label} {name}")
        for count in range(1, photographs + 1):
            number += 1
            key = f"{name}/{species.name}_{count:04d}.jpg"
            image, box = draw(species, number)
            mode = {GRAYSCALE: "L", CMYK: "CMYK"}.get(number, "RGB")
            image.convert(mode).save(folder / IMAGES / key, "JPEG", quality=QUALITY)
            files[IMAGES_FILE].append(f"{number} {key}")
            files[LABELS_FILE].append(f"{number} {label}")
            files[SPLIT_FILE].append(f"{number} {count % 2}")
            files[BOXES_FILE].append(f"{number} {' '.join(f'{value:.1f}' for value in box)}")
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))


def draw(species: Species, seed: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """One picture, and left, top, width and height of the bird in it."""
    dice = Dice(seed)
    width, height = dice.between(SHORTEST, LONGEST), dice.between(SHORTEST, LONGEST)
    image = _ground(dice, width, height)
    canvas = ImageDraw.Draw(image)
    for _ in range(dice.between(0, 3)):
        _branch(canvas, dice, width, height)
    bird = _Bird(species, dice, width, height)
    for shape in bird.shapes(dice):
        canvas.polygon(shape[0], fill=shape[1])
    pixels = np.asarray(image).astype(np.int16)
    pixels += dice.noise(pixels.size).reshape(pixels.shape).astype(np.int16) // 16 - 8
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), bird.box(width, height)


class _Bird:
    """A bird at a place, of a size, turned a little, looking left or right. Its own unit is the body's length."""

    def __init__(self, species: Species, dice: Dice, width: int, height: int) -> None:
        self._species = species
        self._length = min(width, height) * dice.share(0.3, 0.48)
        self._x, self._y = width * dice.share(0.4, 0.6), height * dice.share(0.4, 0.6)
        self._turn, self._side = math.radians(dice.between(-35, 20)), 1 - 2 * dice.between(0, 1)
        self._points: list[Point] = []

    def shapes(self, dice: Dice) -> Iterator[tuple[list[Point], Colour]]:
        """Its parts as polygons, from behind to before."""
        kind = self._species
        body, wing, head = dice.near(kind.body), dice.near(kind.wing), dice.near(kind.head)
        for foot in (-0.08, 0.1):
            yield self._placed([(foot, 0.15), (foot + 0.03, 0.15), (foot + 0.03, 0.5), (foot, 0.5)]), _LEGS
        end = -0.4 - kind.tail
        yield self._placed([(-0.3, -0.08), (end, -0.02), (end, 0.14), (-0.3, 0.12)]), wing
        yield self._placed(_ellipse(0, 0, 0.5, 0.28)), body
        if kind.crest:
            yield self._placed([(0.38, -0.36), (0.2, -0.66), (0.5, -0.42)]), head
        yield self._placed([(0.55, -0.3), (0.6 + kind.beak, -0.2), (0.55, -0.14)]), _BEAK
        yield self._placed(_ellipse(0.44, -0.24, 0.2, 0.18)), head
        yield self._placed(_ellipse(0.5, -0.28, 0.035, 0.035)), _EYE
        yield self._placed(_ellipse(-0.12, 0, 0.32, 0.16)), wing
        light = dice.near((240, 236, 224))
        for x in (-0.28, -0.12, 0.04):
            if kind.marks == "bars":
                yield self._placed([(x, -0.12), (x + 0.06, -0.12), (x + 0.02, 0.12), (x - 0.04, 0.12)]), light
            elif kind.marks == "spots":
                for y in (-0.06, 0.06):
                    yield self._placed(_ellipse(x + y / 2, y, 0.045, 0.04)), light

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What its parts lie in, as far as the picture goes."""
        across, down = zip(*self._points, strict=True)
        left, top = max(0, math.floor(min(across))), max(0, math.floor(min(down)))
        return left, top, min(width, math.ceil(max(across))) - left, min(height, math.ceil(max(down))) - top

    def _placed(self, points: list[Point]) -> list[Point]:
        """The points where they are in the picture, to a hundredth, so that no machine's sine matters."""
        sine, cosine = math.sin(self._turn), math.cos(self._turn)
        placed = [
            (
                round(self._x + self._side * self._length * (x * cosine - y * sine), 2),
                round(self._y + self._length * (x * sine + y * cosine), 2),
            )
            for x, y in points
        ]
        self._points += placed
        return placed


def _ellipse(x: float, y: float, across: float, down: float) -> list[Point]:
    angles = [math.tau * step / 24 for step in range(24)]
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


def _ground(dice: Dice, width: int, height: int) -> Image.Image:
    """Leaves, sky or water, out of focus: a few blots, drawn large."""
    base = ((104, 132, 84), (150, 176, 200), (120, 112, 92), (92, 124, 132))[dice.between(0, 3)]
    shades = [dice.between(-45, 45) for _ in range(20)]  # darker and lighter, of much the same hue
    blots = [dice.near((base[0] + shade, base[1] + shade, base[2] + shade), 14) for shade in shades]
    small = np.array(blots, np.uint8).reshape(4, 5, 3)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _branch(canvas: ImageDraw.ImageDraw, dice: Dice, width: int, height: int) -> None:
    ends = [(0, dice.between(0, height)), (width, dice.between(0, height))]
    canvas.line(ends, fill=dice.near((96, 74, 54)), width=dice.between(3, 9))
