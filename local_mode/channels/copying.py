"""Copies a channel's objects into its folder: files one after the other, what is in S3 in parts and in parallel."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from mmap import mmap
from pathlib import Path

from local_mode.channels.ahead import CONNECTIONS, PART_BYTES
from local_mode.channels.objects import Found, Remote, Source, find
from local_mode.channels.plan import ChannelPlan
from local_mode.channels.sending import Outlet
from local_mode.channels.sources import SourceObject

Told = Callable[[int], None]
"""Called with a number of bytes that were copied; from several threads."""


def copy_channel(plan: ChannelPlan, folder: Path, *, s3: Source | None = None, told: Told = lambda _: None) -> None:
    """Copy the objects of a channel below `folder`, which becomes /opt/ml/input/data/<channel>.

    Raises:
        ObjectError: an object is gone, or is another one than was listed.
        OSError: an object cannot be read, or its copy not written.
    """
    far: list[SourceObject] = []
    for item in plan.objects:
        source, key = find(item.key, s3)
        target = folder / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Remote):
            far.append(item)
            continue
        with closing(source.read(key)) as stream, target.open("wb", buffering=0) as copy:
            Outlet(copy.fileno(), told).send(stream)
    if far and isinstance(s3, Remote):
        _Download(s3, folder, far, told).run()


class _Download:
    """Objects of one store, by several connections; each holds one part at a time."""

    def __init__(self, source: Remote, folder: Path, items: list[SourceObject], told: Told) -> None:
        self._source, self._folder, self._told = source, folder, told
        self._parts = self._each_part(items)
        self._taking, self._stop = threading.Lock(), threading.Event()

    def run(self) -> None:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            workers = [pool.submit(self._work) for _ in range(CONNECTIONS)]
            try:
                for worker in as_completed(workers):
                    worker.result()
            finally:
                self._stop.set()  # the first error ends the others

    def _each_part(self, items: list[SourceObject]) -> Iterator[tuple[Path, Found, int, int]]:
        for item in items:
            path = self._folder / item.name
            path.touch()
            for start in range(0, item.size, PART_BYTES):
                yield path, Found(item.key, item.size, item.tag), start, min(PART_BYTES, item.size - start)

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._taking:
                part = next(self._parts, None)
            if part is None:
                return
            path, found, start, length = part
            data = self._source.fetch(found, start, length, self._stop).data
            if not self._stop.is_set():
                _write(path, start, data)
                self._told(len(data))


def _write(path: Path, start: int, data: bytes | bytearray | mmap) -> None:
    view = memoryview(data)
    file = os.open(path, os.O_WRONLY)
    try:
        while view:
            count = os.pwrite(file, view, start)
            view, start = view[count:], start + count
    finally:
        os.close(file)
