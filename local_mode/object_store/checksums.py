"""The checksums that clients send with their bytes, in headers or behind them."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Protocol

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
HEADER = "x-amz-checksum-"


class Digest(Protocol):
    """One that is being computed."""

    def update(self, data: bytes, /) -> None:
        """Take bytes in."""

    def digest(self) -> bytes:
        """Of all bytes so far."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class Md5:
    """S3's tag of an object; it protects from nothing."""

    def __init__(self) -> None:
        self._digest = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes, /) -> None:
        """Take bytes in."""
        self._digest.update(data)

    def digest(self) -> bytes:
        """Of all bytes so far."""
        return self._digest.digest()


def md5(data: bytes) -> str:
    """In hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def begin(algorithm: str) -> Digest | None:
    """One to compute; None for those that nothing here computes (CRC32C, CRC64NVME): the client's word is taken."""
    if algorithm == "CRC32":
        return _Crc32()
    if algorithm == "SHA1":
        return hashlib.sha1(usedforsecurity=False)
    return hashlib.sha256() if algorithm == "SHA256" else None


def given(headers: Mapping[str, str]) -> tuple[str, str]:
    """Algorithm and value that headers (names in lower case) have; empty without."""
    for algorithm in ALGORITHMS:
        if value := headers.get(f"{HEADER}{algorithm.lower()}"):
            return algorithm, value
    return "", ""


def text(digest: bytes) -> str:
    """As headers have it."""
    return base64.b64encode(digest).decode()


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """The checksum of an object in parts, from those of its parts; empty when it cannot be told."""
    digest = begin(algorithm)
    if digest is None:
        return ""
    for part in parts:
        try:
            digest.update(base64.b64decode(part, validate=True))
        except binascii.Error:
            return ""
        if not part:
            return ""
    return text(digest.digest())
