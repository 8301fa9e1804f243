"""CUB-200-2011 from its archive, from a folder of published files or drawn: one layout, then the same channels."""

import hashlib
import math
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm
from trainjob import cub200
from trainjob.cub200 import FILES, FOLDER, IMAGES
from trainjob.errors import DatasetError

from scripts.datasets import birds, jpegs, photographs, shards
from scripts.datasets.archive import Archive
from scripts.datasets.forms import JPEG
from scripts.datasets.jpegs import Jpeg
from scripts.datasets.photographs import Photograph
from scripts.datasets.shards import UNPACKED, Sharding
from scripts.datasets.source import Source

ARCHIVE = Archive(
    address="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
    md5="97eceeb196236b17998738112f37df78",
)
FORMS = photographs.FORMS
CHANNELS = ("train", "validation", "test")
METRICS = cub200.METRICS
SHORT_SIDES = (256, 512)
VALIDATION = 0.1
SEED = 0
"""Of the order of a channel's photographs, and of which become the validation part."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What becomes of the published photographs."""

    short_side: int | None = None
    """Pixels that the shorter side of larger ones is brought to, at quality 90; None leaves all as they are."""
    validation: float = VALIDATION
    """Share of each class's training photographs that become the validation part, above 0 and below 1."""
    uri: str | None = None
    """What `source-ref` begins with, such as s3://bucket/prefix; None is the folder itself."""

    def __post_init__(self) -> None:
        least, most = SHORT_SIDES
        if self.short_side is not None and not least <= self.short_side <= most:
            raise DatasetError(f"--short-side {self.short_side} is out of range; give {least} to {most}")
        if not 0 < self.validation < 1:
            raise DatasetError(f"--validation {self.validation:g} is no share; give a number above 0 and below 1")
        if self.uri is not None and not (self.uri.partition("://")[0] and self.uri.partition("://")[2].strip("/")):
            raise DatasetError(f"--uri {self.uri} is no prefix of objects; give one such as s3://bucket/prefix")


@dataclass(frozen=True)
class Published:
    """A folder in the published layout, or its parent."""

    given: Path

    def identity(self) -> dict[str, Any]:
        """Path, and a checksum over names, sizes and times of the files."""
        folder = self.publish()
        published = cub200.read(folder)
        paths = [folder / name for name in FILES] + [published.path(each) for each in published.photographs]
        digest = hashlib.sha256()
        for path in paths:
            stat = path.stat()
            digest.update(f"{path.relative_to(folder)}\n{stat.st_size} {stat.st_mtime_ns}\n".encode())
        return {"kind": "folder", "path": str(folder.resolve()), "files": digest.hexdigest()}

    def publish(self, work: Path | None = None) -> Path:
        """The folder itself; nothing is copied."""
        if not self.given.is_dir():
            raise DatasetError(
                f"There is no folder {self.given}; give the one that holds {FOLDER}, or that folder itself"
            )
        folders = (self.given, self.given / FOLDER)
        folder = max(folders, key=lambda folder: sum((folder / name).is_file() for name in FILES))
        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise DatasetError(
                f"{folder} lacks {', '.join(missing)}; expected are CUB-200-2011's {', '.join(FILES)} and {IMAGES}/, "
                f"in that folder or in its {FOLDER}"
            )
        return folder


@dataclass(frozen=True)
class Downloaded:
    """The authors' archive, kept in a folder."""

    folder: Path
    archive: Archive = ARCHIVE

    def identity(self) -> dict[str, Any]:
        """The archive's checksum."""
        return {"kind": "archive", "address": self.archive.address, "md5": self.archive.md5}

    def publish(self, work: Path) -> Path:
        """Unpacks the photographs and the files that are read; parts and attributes stay where they are."""
        path, folder = self.archive.fetch(self.folder), work / UNPACKED
        folder.mkdir(parents=True)
        with (
            tarfile.open(path) as archive,
            tqdm(desc=f"unpacking {path.name}", unit=" files", delay=1, disable=None) as bar,
        ):
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if member.isfile() and parts[0] == FOLDER and parts[1] in (IMAGES, *FILES):
                    archive.extract(member, folder, filter="data")
                    bar.update()
        return Published(folder).publish()


@dataclass(frozen=True)
class Drawn:
    """The stand-in of `birds`, kept beside the channels in the published layout."""

    def identity(self) -> dict[str, Any]:
        """The drawing's version."""
        return {"kind": "sample", "version": birds.VERSION}

    def publish(self, work: Path) -> Path:
        """Draws the photographs."""
        birds.write(work / FOLDER)
        return work / FOLDER


def prepare(source: Source, out: Path, sharding: Sharding, treatment: Treatment | None = None) -> dict[str, Any]:
    """Brings the channels in `out` in line with the source, if they are not.

    Args:
        source: where the published files come from.
        out: folder of the channels; made, or replaced as a whole.
        sharding: in what files.
        treatment: what becomes of the photographs.

    Returns:
        The manifest.

    Raises:
        DatasetError: The source is not the data set, or cannot be divided so.
        OutputError: The channels cannot be written.
    """
    treatment = treatment or Treatment()
    if treatment.uri is not None and sharding.form is not JPEG:
        raise DatasetError(
            f"--uri {treatment.uri} is for the augmented manifest, which there is none of as {sharding.form.name}; "
            "leave it out, or give --format jpeg"
        )
    uri = (treatment.uri or out.resolve().as_uri()).rstrip("/")
    identity = {
        "dataset": "cub200",
        **sharding.identity(),
        **asdict(treatment),
        "uri": uri if sharding.form is JPEG else None,
        "source": source.identity(),
    }

    def write(work: Path) -> dict[str, Any]:
        published = cub200.read(source.publish(work))
        entries = _treat(work / UNPACKED / "smaller", published, treatment)
        parts = _divide(published, treatment.validation)
        channels = {
            channel: photographs.write_channel(work, channel, [entries[index] for index in part], sharding, uri)
            for channel, part in parts.items()
        }
        return {"classes": published.classes, "channels": channels}

    return shards.bring(out, identity, write, room="3 GB")


def hyperparameters(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a program has to be told of a prepared folder; of the drawn sample a small recipe, too."""
    small = (
        {"epochs": "6", "image_size": "64", "learning_rate": "0.05"} if manifest["source"]["kind"] == "sample" else {}
    )
    return {"classes": str(len(manifest["classes"])), **small}


def _treat(smaller: Path, published: cub200.Published, treatment: Treatment) -> list[Photograph]:
    """Every photograph as it will be in a channel, looked at; where it is not as published, a file in `smaller`."""

    def treat(photograph: cub200.Photograph) -> Photograph:
        jpeg = whole = jpegs.look(published.path(photograph))
        if treatment.short_side is not None and min(whole.width, whole.height) > treatment.short_side:
            jpegs.shrink(whole.path, treatment.short_side, smaller / photograph.key)
            jpeg = jpegs.look(smaller / photograph.key)
        return Photograph(
            key=photograph.key, label=photograph.label, box=_box(published, photograph, whole, jpeg), jpeg=jpeg
        )

    return list(jpegs.each(treat, published.photographs, "looking at photographs"))


def _box(
    published: cub200.Published, photograph: cub200.Photograph, whole: Jpeg, jpeg: Jpeg
) -> tuple[int, int, int, int]:
    """The box in whole pixels of the JPEG, as far as it lies in it."""
    left, top, width, height = photograph.box
    if left >= whole.width or top >= whole.height:
        raise DatasetError(
            f"{published.folder / cub200.BOXES_FILE} gives {photograph.key} a box from {left:g}, {top:g} on, but it "
            f"has {whole.width} x {whole.height} pixels"
        )
    across, down = jpeg.width / whole.width, jpeg.height / whole.height
    x, y = min(round(left * across), jpeg.width - 1), min(round(top * down), jpeg.height - 1)
    right, bottom = min(round((left + width) * across), jpeg.width), min(round((top + height) * down), jpeg.height)
    return x, y, max(1, right - x), max(1, bottom - y)


def _divide(published: cub200.Published, share: float) -> dict[str, list[int]]:
    """Which photographs a channel has, in its order."""
    train = [index for index, photograph in enumerate(published.photographs) if photograph.train]
    test = [index for index, photograph in enumerate(published.photographs) if not photograph.train]
    by_class: dict[int, list[int]] = {}
    for index in _shuffled(train, SEED):
        by_class.setdefault(published.photographs[index].label, []).append(index)
    validation = {
        index
        for indexes in by_class.values()
        for index in indexes[: min(len(indexes) - 1, math.floor(len(indexes) * share + 0.5))]
    }
    if not validation:
        most = max(map(len, by_class.values()))
        raise DatasetError(
            f"--validation {share:g} leaves the validation part empty: no class has more than {most} photographs for "
            f"training, and one of them must stay; give a larger share"
        )
    if not test:
        raise DatasetError(f"{published.folder / cub200.SPLIT_FILE} has no photograph in the test part")
    parts = ([index for index in train if index not in validation], sorted(validation), test)
    return {
        channel: _shuffled(part, SEED + number)
        for number, (channel, part) in enumerate(zip(CHANNELS, parts, strict=True), 1)
    }


def _shuffled(indexes: Sequence[int], seed: int) -> list[int]:
    """The same order on every machine: PCG64's raw output is what numpy promises to keep."""
    order = np.argsort(np.random.PCG64(seed).random_raw(len(indexes)), kind="stable")
    return [indexes[place] for place in order]
