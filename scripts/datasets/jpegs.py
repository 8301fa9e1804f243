"""JPEG files with Pillow: whether they are whole, how large they are, and made smaller."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from tqdm import tqdm
from trainjob.errors import DatasetError

QUALITY = 90
MOST_PIXELS = 100_000_000
"""What a photograph may have: decoded, that is 300 MB."""
_LOOKED_AT = 8
"""To see that a JPEG is whole, an eighth of its width and height will do: all of its bytes are read."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """One JPEG file that is whole."""

    path: Path
    width: int
    height: int
    bytes: int
    sha256: str


def look(path: Path) -> Jpeg:
    """A file as it is.

    Raises:
        DatasetError: It is no JPEG, not whole, or has too many pixels.
    """
    content = path.read_bytes()
    image = _open(path, content)
    width, height = image.size
    image.draft(None, (width // _LOOKED_AT, height // _LOOKED_AT))
    _decode(path, image)
    digest = hashlib.sha256(content).hexdigest()
    return Jpeg(path=path, width=width, height=height, bytes=len(content), sha256=digest)


def shrink(path: Path, short_side: int, to: Path) -> None:
    """Writes a photograph to `to` with a short side of so many pixels, gray or in red, green and blue.

    Raises:
        DatasetError: It is no JPEG, not whole, or has too many pixels.
    """
    image = _open(path, path.read_bytes())
    _decode(path, image)
    shortest = min(image.size)
    width, height = (round(side * short_side / shortest) for side in image.size)
    plain = image if image.mode == "L" else image.convert("RGB")
    to.parent.mkdir(parents=True, exist_ok=True)
    plain.resize((width, height), Image.Resampling.LANCZOS).save(to, "JPEG", quality=QUALITY)


def link(path: Path, to: Path) -> None:
    """The same bytes under another name: of the same file where the disk allows it, else of a copy."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), to)
    except OSError:  # another file system, or one without links, or a file of another user
        to.write_bytes(path.read_bytes())


def each(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> Iterator[Result]:
    """What `work` makes of each item, in their order; on all cores, as Pillow lets go of the interpreter's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(desc=title, total=len(items), delay=1, disable=None) as bar:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                yield future.result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _open(path: Path, content: bytes) -> JpegImageFile:
    """The JPEG's header. Image.open would take other formats as well, and warn where we refuse."""
    try:
        image = JpegImageFile(BytesIO(content))
    except (SyntaxError, OSError) as error:
        raise DatasetError(f"{path} is no JPEG that can be read ({len(content):,} bytes): {error}") from error
    if image.width * image.height > MOST_PIXELS:
        raise DatasetError(
            f"{path} has {image.width:,} x {image.height:,} pixels; at most {MOST_PIXELS:,} are taken for a photograph"
        )
    return image


def _decode(path: Path, image: JpegImageFile) -> None:
    try:
        image.load()
    except (SyntaxError, OSError) as error:
        raise DatasetError(f"{path} is a JPEG that cannot be decoded: {error}; unpack the archive again") from error
