"""CIFAR-10 from its archive, from a folder of published files or drawn: one layout, then the same shards."""

import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainjob import metrics
from trainjob.cifar10 import CLASSES, FOLDER, RECORD_BYTES, TEST_FILES, TRAIN_FILES, check_labels, to_example
from trainjob.errors import DatasetError

from scripts.datasets import drawing, forms, shards
from scripts.datasets.archive import Archive
from scripts.datasets.forms import Form
from scripts.datasets.shards import UNPACKED, Records, Shard, Sharding
from scripts.datasets.source import Source

ARCHIVE = Archive(
    address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", md5="c32a1d4ab5d03f1284b67883e8d87530"
)
FORMS = forms.FORMS
CHANNELS = ("train", "validation")
METRICS = metrics.NAMES
FILES = (*TRAIN_FILES, *TEST_FILES)
_AS_PUBLISHED = f"10,000 records of {RECORD_BYTES:,} bytes"


@dataclass(frozen=True)
class Published:
    """A folder in the published layout, or its parent."""

    given: Path

    def identity(self) -> dict[str, Any]:
        """Path, and names, sizes and times of the files."""
        folder = self.publish()
        stats = {name: (folder / name).stat() for name in FILES}
        files = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()]
        return {"kind": "folder", "path": str(folder.resolve()), "files": files}

    def publish(self, work: Path | None = None) -> Path:
        """The folder itself; nothing is copied."""
        folders = (self.given, self.given / FOLDER)
        present = {folder: [name for name in FILES if (folder / name).is_file()] for folder in folders}
        folder = max(folders, key=lambda folder: len(present[folder]))
        missing = [name for name in FILES if name not in present[folder]]
        if missing:
            raise DatasetError(_describe(self.given, folder if present[folder] else self.given, missing))
        for name in FILES:
            size = (folder / name).stat().st_size
            if size == 0 or size % RECORD_BYTES:
                raise DatasetError(
                    f"{folder / name} has {size:,} bytes, which is not a whole number of CIFAR-10's records of "
                    f"{RECORD_BYTES:,} bytes (published: {_AS_PUBLISHED}, {10_000 * RECORD_BYTES:,} bytes); "
                    "unpack the archive again"
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
        """Unpacks the six files."""
        path, folder = self.archive.fetch(self.folder), work / UNPACKED
        folder.mkdir(parents=True)
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in FILES and (source := archive.extractfile(member)):
                    with source, (folder / name).open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
        return Published(folder).publish()


@dataclass(frozen=True)
class Drawn:
    """The stand-in of `drawing`, kept beside the shards in the published layout."""

    def identity(self) -> dict[str, Any]:
        """The drawing's version."""
        return {"kind": "sample", "version": drawing.VERSION}

    def publish(self, work: Path) -> Path:
        """Draws the files."""
        drawing.write(work / FOLDER)
        return work / FOLDER


def prepare(source: Source, out: Path, sharding: Sharding) -> dict[str, Any]:
    """Brings the shards in `out` in line with the source, if they are not.

    Args:
        source: where the published files come from.
        out: folder of the shards; made, or replaced as a whole.
        sharding: what shards.

    Returns:
        The manifest.

    Raises:
        DatasetError: The source is not the data set, or cannot be divided so.
        OutputError: The shards cannot be written.
    """
    identity = {
        "dataset": "cifar10",
        "classes": list(CLASSES),
        "record_bytes": RECORD_BYTES,
        **sharding.identity(),
        "source": source.identity(),
    }

    def write(work: Path) -> dict[str, Any]:
        return {"channels": _write(work, source.publish(work), sharding)}

    return shards.bring(out, identity, write, room="600 MB")


def hyperparameters(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a program has to be told of a prepared folder: nothing, there is but one CIFAR-10."""
    return {}


def _write(work: Path, folder: Path, sharding: Sharding) -> dict[str, list[Shard]]:
    channels = {}
    for channel, names in (("train", TRAIN_FILES), ("validation", TEST_FILES)):
        files = [folder / name for name in names]
        records = Records(files=files, bytes=RECORD_BYTES, check=check_labels)
        # The first stands for all: only where RecordIO's magic is in a picture is one longer, by a few bytes.
        size = len(sharding.form.encode(next(records.blocks(0, 1)), to_example))
        lengths = sharding.lengths(channel, [size] * records.total)
        encode = partial(_encoded, records, sharding.form)
        channels[channel] = shards.write_shards(work, channel, sharding.form.suffix, lengths, encode)
    return channels


def _encoded(records: Records, form: Form, start: int, stop: int) -> Iterator[memoryview]:
    return (form.encode(rows, to_example) for rows in records.blocks(start, stop))


def _describe(given: Path, folder: Path, missing: list[str]) -> str:
    if not given.is_dir():
        return f"There is no folder {given}; give the one that holds {FOLDER}, or that folder itself"
    wrong = " (this is the archive's version for Python: the binary version is needed)"
    hint = wrong if any((base / "data_batch_1").exists() for base in (given, given / "cifar-10-batches-py")) else ""
    return (
        f"{folder} lacks {', '.join(missing)}{hint}; expected are CIFAR-10's six files in the binary version, "
        f"{', '.join(FILES)} (published: {_AS_PUBLISHED} each), in that folder or in its {FOLDER}"
    )
