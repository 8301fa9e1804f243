"""The layers of an image, walked file by file as `docker save` writes them, deleted ones included; and their sizes."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

BLOCK = 1 << 20
AHEAD = 32
"""Blocks that wait for a thread to compress them."""
GZIP_LEVEL = 6
"""What `docker push` compresses with. Blocks are compressed one by one, which costs a part in a thousand."""
WHOLE = 64
"""Blocks at a layer's beginning that are all compressed; of those after them one in SAMPLED stands for its like."""
SAMPLED = 8

Look = Callable[[tarfile.TarInfo, Callable[[], bytes]], None]
"""Called with each entry of a layer and with what reads its content, which has to be called at once or not at all."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of an image."""

    digest: str
    """Of its tar, uncompressed."""
    step: str
    """What of the Dockerfile made it."""
    unpacked: int
    """Bytes of its files."""
    compressed: int
    """Bytes of it on its way to and from a registry; of a layer over 64 MiB an estimate, good to a percent."""


class Archive:
    """What `docker save` has written, of an engine of any age: folders with a layer.tar each, or an OCI layout."""

    def __init__(self, stream: IO[bytes], look: Look | None = None, *, compress: bool = False) -> None:
        """Reads it to its end, calling `look` for each entry of each layer."""
        self._sizes: dict[str, tuple[str, int, int]] = {}
        self._links: dict[str, str] = {}
        self._texts: dict[str, bytes] = {}
        with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive, ThreadPoolExecutor() as pool:
            for member in archive:
                opened = archive.extractfile(member) if member.isreg() else None
                if member.issym():
                    self._links[member.name] = _beside(member.name, member.linkname)
                elif opened is not None:
                    self._take(member.name, opened, look, pool if compress else None)
        (manifest,) = json.loads(self._texts["manifest.json"])
        self.config: dict[str, Any] = json.loads(self._texts[manifest["Config"]])
        self.layers = self._joined(manifest["Layers"])

    def _take(self, name: str, opened: IO[bytes], look: Look | None, pool: ThreadPoolExecutor | None) -> None:
        head = opened.read(512)
        if head[257:262] == b"ustar":
            self._sizes[name] = _walk(_Joined(head, opened), look, pool)
        elif head[:2] == b"\x1f\x8b":
            # The registry's own form of a layer, whose size is known as it is.
            counted = _Counted(_Joined(head, opened))
            with gzip.GzipFile(fileobj=counted) as inflated:
                digest, unpacked, _ = _walk(inflated, look, None)
            self._sizes[name] = (digest, unpacked, counted.count)
        elif head.lstrip()[:1] in (b"{", b"["):
            self._texts[name] = head + opened.read()

    def _joined(self, names: list[str]) -> list[Layer]:
        steps = [entry.get("created_by", "") for entry in self.config["history"] if not entry.get("empty_layer")]
        layers = []
        for name, step in zip(names, steps, strict=True):
            digest, unpacked, compressed = self._sizes[self._links.get(name, name)]
            layers.append(Layer(digest=digest, step=step, unpacked=unpacked, compressed=compressed))
        return layers


class _Joined:
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return self._head + self._rest.read()
        head, self._head = self._head[:size], self._head[size:]
        return head + self._rest.read(size - len(head)) if len(head) < size else head


class _Counted:
    """A file, and how much of it was read."""

    def __init__(self, opened: _Joined) -> None:
        self._opened = opened
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        block = self._opened.read(size)
        self.count += len(block)
        return block


class _Measured:
    """A layer's tar: hashed and, in a pool of threads, compressed as it is read."""

    def __init__(self, opened: Any, pool: ThreadPoolExecutor | None) -> None:
        self._opened, self._pool = opened, pool
        self._hash = hashlib.sha256()
        self._collected = io.BytesIO()
        self._blocks = 0
        self._waiting: list[tuple[Future[int], int]] = []
        self.compressed = 0

    def read(self, size: int) -> bytes:
        block: bytes = self._opened.read(size)
        self._hash.update(block)
        if self._pool is not None:
            self._collected.write(block)
            if self._collected.tell() >= BLOCK:
                self._hand_over(self._pool)
        return block

    def finish(self) -> str:
        """The digest, once all is read."""
        while self.read(BLOCK):
            pass
        if self._pool is not None:
            self._hand_over(self._pool)
        while self._waiting:
            self._take_first()
        return f"sha256:{self._hash.hexdigest()}"

    def _hand_over(self, pool: ThreadPoolExecutor) -> None:
        """Have a block compressed, if it is one of the sample, which counts for those up to the next."""
        block, self._collected = self._collected.getvalue(), io.BytesIO()
        number, self._blocks = self._blocks, self._blocks + 1
        if number < WHOLE or number % SAMPLED == 0:
            self._waiting.append((pool.submit(_compressed, block), 1 if number < WHOLE else SAMPLED))
        if len(self._waiting) >= AHEAD:
            self._take_first()

    def _take_first(self) -> None:
        future, weight = self._waiting.pop(0)
        self.compressed += future.result() * weight


def _walk(opened: Any, look: Look | None, pool: ThreadPoolExecutor | None) -> tuple[str, int, int]:
    measured, unpacked = _Measured(opened, pool), 0
    with tarfile.open(fileobj=measured, mode="r|", bufsize=BLOCK) as layer:  # type: ignore[call-overload]
        for member in layer:
            unpacked += member.size if member.isreg() else 0
            if look is not None:
                look(member, lambda member=member: _read(layer, member))  # type: ignore[misc]
    return measured.finish(), unpacked, measured.compressed


def _read(layer: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = layer.extractfile(member) if member.isreg() else None
    return b"" if opened is None else opened.read()


def _compressed(block: bytes) -> int:
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return len(deflate.compress(block)) + len(deflate.flush())


def _beside(name: str, target: str) -> str:
    """Where a relative link of the archive points to: `a/layer.tar` -> `../b/layer.tar` is `b/layer.tar`."""
    parts = name.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
