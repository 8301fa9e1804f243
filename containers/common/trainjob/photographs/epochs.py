"""A channel of labelled JPEGs as epochs of photographs, whatever its input mode and form; see docs/photographs.md."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainjob.channel import Channel
from trainjob.contract import FAST_FILE, PIPE
from trainjob.dataset import Share
from trainjob.errors import ChannelError, RecordError
from trainjob.framing import detection, recordio, tfrecord
from trainjob.photographs.records import Photograph, box_of, from_examples, from_records
from trainjob.photographs.views import Box

INDEX = "index.jsonl"
SUFFIXES = (".jpg", ".jpeg")
"""Of file names, in lower case."""
_READERS = 8
"""Threads that read files of FastFile, as each first read waits for S3."""
_ANNOUNCED = 64
"""Files of a disk that the kernel reads ahead: it waits for many at once, where threads would wait for one another."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A photograph that lies in a file."""

    path: Path
    key: str
    label: int
    box: Box | None
    index: int

    def open(self) -> FileIO:
        with self._named():
            return self.path.open("rb", buffering=0)

    def read(self, file: FileIO) -> Photograph:
        """Reads it from its file, and closes that."""
        with file, self._named():
            content, filled = np.empty(os.fstat(file.fileno()).st_size, np.uint8), 0
            while filled < len(content) and (count := file.readinto(content[filled:].data)):
                filled += count
        return Photograph(self.key, content[:filled], self.label, self.box, self.index)

    def load(self) -> Photograph:
        return self.read(self.open())

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ChannelError(f"'{self.key}' cannot be read from {self.path}: {error.strerror}.") from error


@dataclass(kw_only=True)
class Photographs:
    """The photographs of a channel, epoch by epoch, each once."""

    channel: Channel
    classes: int
    """Labels are 0 to one below it."""
    window: int = 0
    """Photographs held back to draw from; 0 keeps the channel's order. Of a stream, their bytes are held."""
    seed: int = 0
    share: Share = field(default_factory=Share)
    """Which of them are this process's own."""

    _known: list[_Entry] | None = field(default=None, init=False)
    """Those in files of their own, which do not change while a job runs; to list ten thousand takes seconds."""

    def epoch(self, number: int) -> Iterator[Photograph]:
        """One pass over the channel, in an order that (seed, number) decides, the same in every input mode.

        Raises:
            ChannelError: The channel cannot be opened, holds no photograph, or its index does not fit its files.
            RecordError: Its records are no photographs, or a label is none of the classes'.
            StopRequested: The job was asked to stop while this waited.
        """
        entries = self._entries()
        if entries is None:
            yield from _shuffled(self._own(self._streamed()), self.window, (self.seed, number))
        else:
            ahead = _in_threads if self.channel.config.input_mode == FAST_FILE else _announced
            yield from ahead(_shuffled(self._own(entries), self.window, (self.seed, number)))

    def _own(self, items: Iterable[T]) -> Iterator[T]:
        count = 0
        for count, item in enumerate(items, 1):
            if (count - 1) % self.share.count == self.share.index:
                label, key = item.label, item.key  # type: ignore[attr-defined]
                if not 0 <= label < self.classes:
                    raise RecordError(
                        f"Channel '{self.channel.config.name}': '{key}' has the label {label}, but there are "
                        f"{self.classes} classes, 0 to {self.classes - 1}; set the hyperparameter classes."
                    )
                yield item
        if count == 0 and not self.share.may_be_empty:
            raise ChannelError(
                f"Channel '{self.channel.config.name}' delivered no photograph: it is empty; check its S3Uri, and that "
                "it has at least one object for every host."
            )

    def _entries(self) -> list[_Entry] | None:
        """The photographs if they lie in files of their own; None if they come in shards or a stream."""
        if self.channel.config.input_mode == PIPE:
            return None
        if self._known is None:
            folder, name = self.channel.folder, self.channel.config.name
            files = {path.relative_to(folder).as_posix(): path for path in self.channel.files()}
            if INDEX in files:
                self._known = list(_indexed(files, name))
            elif any(path.suffix.lower() in SUFFIXES for path in files.values()):
                self._known = _by_folder(folder, name, self.classes)
        return self._known

    def _streamed(self) -> Iterator[Photograph]:
        with self.channel.open() as stream:
            name = self.channel.description
            framing, peeked = detection.detect(stream, name=name)
            if framing == detection.TFRECORD:
                yield from from_examples(tfrecord.read(peeked, name), name)
            elif framing == detection.RECORDIO or not peeked.head:  # type: ignore[attr-defined]
                yield from from_records(recordio.read(peeked, name), name)
            else:
                head = peeked.head.hex()  # type: ignore[attr-defined]
                raise RecordError(
                    f"{name} is neither RecordIO nor TFRecord: its first bytes are {head}; set RecordWrapperType to "
                    "RecordIO, and AttributeNames to the photograph's reference and its label."
                )


def _indexed(files: dict[str, Path], name: str) -> Iterator[_Entry]:
    for number, line in enumerate(files[INDEX].read_bytes().splitlines(), 1):
        try:
            said = json.loads(line)
            key, label, box = said["key"], int(said["label"]), said.get("box")
            path = files.get(key)
            box = None if box is None else box_of(box)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ChannelError(
                f"Channel '{name}': line {number} of {INDEX} is {line[:80].decode(errors='replace')!r}; it must be an "
                f"object with key, label and, if it has one, a box of 4 numbers ({type(error).__name__}: {error})."
            ) from None
        if path is None:
            raise ChannelError(
                f"Channel '{name}': line {number} of {INDEX} names '{key}', which is no file of the channel; "
                "prepare the data again."
            )
        yield _Entry(path, key, label, box, number - 1)


def _by_folder(folder: Path, name: str, classes: int) -> list[_Entry]:
    """One folder a class, in the order of their names, as torchvision's ImageFolder has it; mixed in a fixed order."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(folders) != classes:
        raise ChannelError(
            f"Channel '{name}' has no {INDEX}, and {len(folders)} folders for {classes} classes; there must be one for "
            "each class, or an index. Set the hyperparameter classes."
        )
    found: list[tuple[str, int]] = []
    for label, each in enumerate(folders):
        files = sorted(path for path in each.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise ChannelError(f"Channel '{name}': the class folder '{each.name}' holds no JPEG; fill or remove it.")
        found += [(path.relative_to(folder).as_posix(), label) for path in files]
    order = np.random.default_rng(len(found)).permutation(len(found))
    mixed = [found[place] for place in order]
    return [_Entry(folder / key, key, label, None, index) for index, (key, label) in enumerate(mixed)]


def _shuffled(items: Iterable[T], window: int, seed: tuple[int, int]) -> Iterator[T]:
    """Draw from a window that moves along; the order depends on the seed, the window and their number alone."""
    if window == 0:
        yield from items
        return
    random = np.random.Generator(np.random.PCG64(seed))
    pool: list[T] = []
    for item in items:
        if len(pool) < window:
            pool.append(item)
            continue
        slot = int(random.integers(window))
        pool[slot], leaving = item, pool[slot]
        yield leaving
    for slot in random.permutation(len(pool)):
        yield pool[slot]


def _announced(entries: Iterable[_Entry]) -> Iterator[Photograph]:
    """The photographs of entries, in order; the kernel is told which come next."""
    waiting: deque[tuple[_Entry, FileIO]] = deque()
    try:
        for entry in entries:
            file = entry.open()
            waiting.append((entry, file))
            if hasattr(os, "posix_fadvise"):
                with suppress(OSError):  # it is but a hint, which not every file system takes
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
            if len(waiting) > _ANNOUNCED:
                first, file = waiting.popleft()
                yield first.read(file)
        while waiting:
            first, file = waiting.popleft()
            yield first.read(file)
    finally:
        for _, file in waiting:
            file.close()


def _in_threads(entries: Iterable[_Entry]) -> Iterator[Photograph]:
    """The photographs of entries, in order, a few read at once."""
    pool = ThreadPoolExecutor(_READERS, "photographs")
    waiting: deque[Future[Photograph]] = deque()
    try:
        for entry in entries:
            waiting.append(pool.submit(entry.load))
            if len(waiting) > 2 * _READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # nobody waits for them any more
