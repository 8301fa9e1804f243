"""One epoch of a Pipe channel: its entries in their order, inflated and framed as the request says."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local_mode.channels import recordio
from local_mode.channels.ahead import CONNECTIONS, Ahead, Wanted
from local_mode.channels.augmented import AugmentedManifest, Reference
from local_mode.channels.inflate import Inflated, measured
from local_mode.channels.objects import Found, ObjectError, Readable, Source, find
from local_mode.channels.order import Order
from local_mode.channels.sending import Outlet

_SMALL_BYTES = 1 << 14
"""A record up to this size is gathered with its neighbours: a call to the kernel costs more than to copy it."""


class Delivery:
    """A channel as the feeder's plan describes it. `load` comes before the first epoch."""

    def __init__(self, channel: Mapping[str, Any], scratch: Path, s3: Source | None = None) -> None:
        """`scratch` is where long streams that have to be measured lie meanwhile, in files without a name.

        `s3` serves keys that begin with s3://.
        """
        self._objects = [Found(item["key"], item["size"], item.get("tag", "")) for item in channel["objects"]]
        self._attributes: Sequence[str] = channel["attributes"]
        self._record_io: bool = channel["record_io"]
        self._gzip: bool = channel["gzip"]
        self._order = Order(**channel["order"])
        self._scratch, self._s3 = scratch, s3
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self._manifest: AugmentedManifest | None = None

    def load(self) -> None:
        """Read the augmented manifest, if the channel is one.

        Raises:
            ObjectError: it cannot be read.
        """
        if not self._attributes:
            return
        (found,) = self._objects
        wanted = self._wanted(found)
        try:
            with Ahead([wanted], self._pool) as ahead:
                for _ in ahead:
                    with contextlib.closing(ahead.opened().stream) as stream:
                        self._manifest = AugmentedManifest(stream, wanted.key, tuple(self._attributes), self._scratch)
        except OSError as error:
            raise ObjectError(f"cannot read {wanted.key}: {error.strerror}") from None

    def order(self, epoch: int) -> Sequence[int]:
        """Which entries the epoch has, in their order: what `send` takes."""
        return self._order.of(len(self._objects if self._manifest is None else self._manifest), epoch)

    def send(self, order: Sequence[int], outlet: Outlet) -> None:
        """Send every entry.

        Raises:
            ObjectError: something cannot be read, or is not what it should be.
            BrokenPipeError: the reader left.
        """
        with Ahead(self._pieces(order), self._pool) as ahead:
            for piece in ahead:
                if isinstance(piece, bytes):
                    self._put(io.BytesIO(piece), len(piece), outlet)
                else:
                    self._send(piece, ahead, outlet)
        outlet.flush()

    def _pieces(self, order: Sequence[int]) -> Iterator[Wanted | bytes]:
        for index in order:
            for piece in [self._objects[index]] if self._manifest is None else self._manifest.entry(index):
                yield piece if isinstance(piece, bytes) else self._wanted(piece)

    def _send(self, wanted: Wanted, ahead: Ahead, outlet: Outlet) -> None:
        """Send the object whose turn it is."""
        name = wanted.name
        try:
            opened = ahead.opened()
            with contextlib.closing(opened.stream) as stream:
                if self._gzip:
                    self._inflate(Inflated(stream, name), outlet)
                    return
                sent, size = self._put(stream, opened.size, outlet), opened.size
                if sent == size and not stream.read(1):
                    return
            now = wanted.source.one(wanted.key).size
            raise ObjectError(f"{name} changed while it was streamed: it had {size} bytes, then {now}")
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

    def _wanted(self, piece: Found | Reference) -> Wanted:
        if isinstance(piece, Found):
            source, key = find(piece.key, self._s3)
            return Wanted(source=source, key=key, name=piece.key, found=piece)
        try:
            source, key = find(piece.uri, self._s3)
        except ObjectError as error:
            raise ObjectError(f"{piece.where}: {error}") from None
        return Wanted(source=source, key=key, name=f"{key} ({piece.where})")
