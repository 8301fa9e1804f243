"""Runs an iterator some items ahead in a thread of its own, so that reading overlaps with training."""

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.1  # how late the thread notices that nobody takes its items any more


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made ahead. What `items` raises is raised here.

    An item must have memory of its own: the next ones are made while it is in use. Leaving the loop early closes
    `items`, if it is a generator, before this returns.
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    left = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, ready, left), name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = ready.get()
            if is_item:
                yield value  # type: ignore[misc]
            elif value is None:
                return
            else:
                raise value  # type: ignore[misc]
    finally:
        left.set()
        thread.join()


def _produce(
    items: Iterable[T], ready: "queue.Queue[tuple[bool, T | BaseException | None]]", left: threading.Event
) -> None:
    end: BaseException | None = None
    try:
        iterator = iter(items)
        with closing(iterator) if isinstance(iterator, Generator) else nullcontext():
            for item in iterator:
                if not _put(ready, (True, item), left):
                    return
    except BaseException as error:  # noqa: BLE001 - carried over to the thread that takes the items
        end = error
    _put(ready, (False, end), left)


def _put(ready: "queue.Queue[tuple[bool, T | BaseException | None]]", entry: tuple[bool, T | BaseException | None],
         left: threading.Event) -> bool:  # fmt: skip
    while not left.is_set():
        try:
            ready.put(entry, timeout=_LOOK_SECONDS)
        except queue.Full:
            continue
        return True
    return False
