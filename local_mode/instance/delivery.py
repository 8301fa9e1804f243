"""One epoch of a Pipe channel: its entries in their order, inflated and framed as the request says."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local_mode.instance import recordio
from local_mode.instance.augmented import AugmentedManifest, Reference
from local_mode.instance.inflate import Inflated, measured
from local_mode.instance.objects import Found, ObjectError, Readable, Source, find
from local_mode.instance.order import Order
from local_mode.instance.sending import Outlet

_SMALL_BYTES = 1 << 14
"""A record up to this size is gathered with its neighbours: a call to the kernel costs more than to copy it."""


class Delivery:
    """A channel as the feeder's plan describes it. `load` comes before the first epoch."""

    def __init__(self, channel: Mapping[str, Any], scratch: Path) -> None:
        """`scratch` is where long streams that have to be measured lie meanwhile, in files without a name."""
        self._objects = [Found(item["key"], item["size"]) for item in channel["objects"]]
        self._attributes: Sequence[str] = channel["attributes"]
        self._record_io: bool = channel["record_io"]
        self._gzip: bool = channel["gzip"]
        self._order = Order(**channel["order"])
        self._scratch = scratch
        self._manifest: AugmentedManifest | None = None

    def load(self) -> None:
        """Read the augmented manifest, if the channel is one.

        Raises:
            ObjectError: it cannot be read.
        """
        if not self._attributes:
            return
        (found,) = self._objects
        source, key = find(found.key)
        try:
            with contextlib.closing(source.read(key)) as stream:
                self._manifest = AugmentedManifest(stream, key, tuple(self._attributes), self._scratch)
        except OSError as error:
            raise ObjectError(f"cannot read {key}: {error.strerror}") from None

    def order(self, epoch: int) -> Sequence[int]:
        """Which entries the epoch has, in their order: what `send` takes."""
        return self._order.of(len(self._objects if self._manifest is None else self._manifest), epoch)

    def send(self, order: Sequence[int], outlet: Outlet) -> None:
        """Send every entry.

        Raises:
            ObjectError: something cannot be read, or is not what it should be.
            BrokenPipeError: the reader left.
        """
        for index in order:
            for piece in [self._objects[index]] if self._manifest is None else self._manifest.entry(index):
                if isinstance(piece, bytes):
                    self._put(io.BytesIO(piece), len(piece), outlet)
                else:
                    self._send(piece, outlet)
        outlet.flush()

    def _send(self, piece: Found | Reference, outlet: Outlet) -> None:
        """Send one object."""
        source, key, name = _locate(piece)
        try:
            size = piece.size if isinstance(piece, Found) else source.size(key)
            with contextlib.closing(source.read(key)) as stream:
                if self._gzip:
                    self._inflate(Inflated(stream, name), outlet)
                    return
                sent = self._put(stream, size, outlet)
                if sent == size and not stream.read(1):
                    return
            raise ObjectError(f"{name} changed while it was streamed: it had {size} bytes, then {source.size(key)}")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ObjectError(f"cannot read {name}: {error.strerror}") from None

    def _inflate(self, stream: Inflated, outlet: Outlet) -> None:
        """Send what a gzip object holds; a frame says how long that is, so it is inflated whole before."""
        if not self._record_io:
            outlet.send(stream)
            return
        whole, size = measured(stream, self._scratch)
        with contextlib.closing(whole):
            self._put(whole, size, outlet)

    def _put(self, stream: Readable, size: int, outlet: Outlet) -> int:
        """Send `size` bytes of a stream, framed if they are to be; how many of them there were."""
        if not self._record_io:
            return outlet.send(stream, size)
        sent = 0
        for frame in recordio.frames(size):
            if frame.length <= _SMALL_BYTES:
                data = stream.read(frame.length)
                outlet.put(frame.head + data + frame.padding)
                sent += len(data)
            else:
                outlet.put(frame.head)
                sent += outlet.send(stream, frame.length)
                outlet.put(frame.padding)
        return sent


def _locate(piece: Found | Reference) -> tuple[Source, str, str]:
    """Where an object is: its source, its key there, and what errors call it."""
    if isinstance(piece, Found):
        return *find(piece.key), piece.key
    try:
        source, key = find(piece.uri)
    except ObjectError as error:
        raise ObjectError(f"{piece.where}: {error}") from None
    return source, key, f"{key} ({piece.where})"
