"""Decodes in threads with whatever the framework has: where DALI cannot be loaded, and to compare it with."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from trainjob import cores
from trainjob.errors import PhotographError
from trainjob.memory import Recycled
from trainjob.photographs.decoding import Decoded, Request
from trainjob.photographs.records import Photograph
from trainjob.photographs.views import View, Whole

Show = Callable[[NDArray[np.uint8], tuple[int, int, int, int], View], NDArray[np.uint8]]
"""A JPEG, a region of it (top, left, height, width), and the view: RGB pixels `(height, width, 3)`.

It raises PhotographError, whose text goes on from the photograph's key, for what it cannot decode."""

_AHEAD = 2
"""Requests under way at once."""


class PlainDecoder:
    """Shows photographs one by one, each in a thread. `show` must let go of the interpreter while it works."""

    def __init__(self, view: View, show: Show, threads: int | None = None) -> None:
        """`threads` are as many as there are cores for this process, unless given."""
        self.view = view
        self._show = show
        self._threads = threads or len(cores.usable())
        self._memory = Recycled()

    def decode(self, requests: Iterable[Request]) -> Iterator[Decoded]:
        """One answer a request, in order."""
        pool = ThreadPoolExecutor(self._threads, "decode")
        waiting: deque[tuple[Request, list[Future[NDArray[np.uint8]]]]] = deque()
        try:
            for request in requests:
                pairs = zip(request.photographs, request.regions.tolist(), strict=True)
                shown = [pool.submit(self._show, each.content, tuple(region), self.view) for each, region in pairs]
                waiting.append((request, shown))
                if len(waiting) > _AHEAD:
                    yield self._collect(*waiting.popleft())
            while waiting:
                yield self._collect(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)  # nobody waits for them any more

    def _collect(self, request: Request, shown: list[Future[NDArray[np.uint8]]]) -> Decoded:
        pixels: list[NDArray[np.uint8]] = []
        kept: list[int] = []
        failed: list[tuple[Photograph, str]] = []
        for index, (photograph, future) in enumerate(zip(request.photographs, shown, strict=True)):
            try:
                pixels.append(future.result())
                kept.append(index)
            except PhotographError as error:
                failed.append((photograph, str(error)))
        photographs = [request.photographs[index] for index in kept]
        images = pixels if isinstance(self.view, Whole) else stacked(pixels, self._memory)
        return Decoded(photographs, request.regions[kept], images, failed)


def stacked(pixels: list[NDArray[np.uint8]], memory: Recycled) -> NDArray[np.uint8]:
    """Images of one size, `(n, height, width, 3)`, in memory that is used again."""
    if not pixels:
        return np.empty((0, 0, 0, 3), np.uint8)
    shape = (len(pixels), *pixels[0].shape)
    return np.stack(pixels, out=memory.empty((len(pixels), pixels[0].size)).reshape(shape))
