"""JPEGs drawn for tests, real ones where there are any, and the plain way to show them: Pillow's."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainjob.errors import PhotographError
from trainjob.photographs.records import Photograph
from trainjob.photographs.views import Centre, View, centre, resized

Image = pytest.importorskip("PIL.Image", reason="Pillow, which draws the JPEGs, is not installed")

ROOT = Path(__file__).resolve().parents[3]
UNPACK_SECONDS = 300


def drawn(height: int, width: int, seed: int = 0, mode: str = "RGB") -> Any:
    """A Pillow image with soft and sharp parts, as a photograph has: noise of several grain sizes."""
    random = np.random.default_rng((seed, height, width))
    total = np.zeros((height, width, 3))
    for grain in (64, 16, 4):
        shape = (-(-height // grain) + 1, -(-width // grain) + 1, 3)
        coarse = Image.fromarray(random.integers(0, 256, shape, np.uint8))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64) * grain
    return Image.fromarray((total / 84).astype(np.uint8)).convert(mode)


def jpeg_of(image: Any, **options: Any) -> np.ndarray:
    """The image as a JPEG, `(bytes,)` uint8."""
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90, **options})
    return np.frombuffer(file.getvalue(), np.uint8)


def jpeg(height: int = 120, width: int = 160, seed: int = 0, mode: str = "RGB", **options: Any) -> np.ndarray:
    """A drawn JPEG."""
    return jpeg_of(drawn(height, width, seed, mode), **options)


KINDS: dict[str, dict[str, Any]] = {
    "colour": {},
    "colour, not subsampled": {"subsampling": 0},
    "progressive": {"progressive": True},
    "grayscale": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}
"""What kinds of JPEG a photograph may be, as options of `jpeg`."""


def several(count: int, **options: Any) -> list[np.ndarray]:
    """Drawn JPEGs, each of another size."""
    return [jpeg(100 + 7 * index, 200 - 9 * index, index, **options) for index in range(count)]


def hollow(content: np.ndarray) -> np.ndarray:
    """The same JPEG without its pixels: its header and its end are whole, so only a decoder finds out."""
    pixels = content.tobytes().rindex(b"\xff\xda")
    return np.concatenate([content[:pixels], content[-2:]])


def photograph(content: np.ndarray, index: int = 0, label: int = 0, box: Any = None) -> Photograph:
    return Photograph(f"class/{index:04d}.jpg", content, label, box, index)


def shown_by_pillow(content: np.ndarray, region: tuple[int, int, int, int], view: View) -> np.ndarray:
    """What a plain decoder is given to decode with. Without antialias a pixel is mixed of the four nearest."""
    try:
        image = Image.open(io.BytesIO(content.tobytes())).convert("RGB")
    except OSError as error:
        raise PhotographError(f"cannot be decoded ({error})") from None
    top, left, height, width = region
    rows, columns = resized(view, height, width)
    part = np.asarray(image.crop((left, top, left + width, top + height)))
    pixels = resized_by_pillow(part, (rows, columns), view.antialias)
    if not isinstance(view, Centre):
        return pixels
    first, second = centre(view, rows, columns)
    return pixels[first : first + view.side, second : second + view.side]


def resized_by_pillow(pixels: np.ndarray, size: tuple[int, int], antialias: bool) -> np.ndarray:
    """What `DaliDecoder` can be given to resize with."""
    (height, width), (rows, columns), bilinear = pixels.shape[:2], size, Image.Resampling.BILINEAR
    image = Image.fromarray(pixels)
    if antialias:
        return np.asarray(image.resize((columns, rows), bilinear))
    scales = (width / columns, 0, 0, 0, height / rows, 0)
    return np.asarray(image.transform((columns, rows), Image.Transform.AFFINE, scales, bilinear))


def real_photographs(folder: Path) -> list[Path]:
    """CUB-200-2011's own JPEGs: under REAL_DATA, or unpacked from the folder `shared` beside the project."""
    given = Path(os.environ.get("REAL_DATA") or ROOT.parent / "shared" / "data")
    if (given / "unpack.py").exists():
        command = [sys.executable, str(given / "unpack.py"), "cub200", str(folder)]
        subprocess.run(command, check=True, timeout=UNPACK_SECONDS)
        given = folder
    found = sorted(given.glob("**/CUB_200_2011/images/*/*.jpg"))
    if not found:
        pytest.skip(f"no real photographs: {given} has none, and REAL_DATA names no folder with CUB_200_2011 in it")
    return found
