"""The objects of an S3 as a `Source`. Standard library only until an object is asked for."""

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from local_mode.channels.ahead import PART_BYTES
from local_mode.channels.objects import Found, ObjectError, Part, Readable
from local_mode.channels.s3_access import S3Access

if TYPE_CHECKING:
    from local_mode.channels.s3 import S3


class S3Source:
    """One S3. Its keys are whole URIs: s3://bucket/key. Safe to use from several threads."""

    def __init__(self, access: S3Access) -> None:
        self._access = access
        self._making = threading.Lock()

    def list(self, prefix: str) -> list[Found]:
        """Objects whose keys begin with the text of `prefix`; not the empty ones that stand for folders."""
        return [item for item in self._s3.found(prefix) if item.size or not item.key.endswith("/")]

    def one(self, key: str) -> Found:
        """An object as it is now."""
        return self._s3.head(key)

    def read(self, key: str, offset: int = 0) -> Readable:
        """An object's bytes, a part at a time, all of the version that the first part has."""
        return _Stream(self, self.one(key), offset)

    def fetch(self, wanted: Found, start: int, length: int, stop: threading.Event) -> Part:
        """Bytes of one version of an object."""
        return self._s3.fetch(wanted, start, length, stop)

    @property
    def _s3(self) -> "S3":
        with self._making:
            return self._connected

    @cached_property
    def _connected(self) -> "S3":
        try:
            # Here, as it brings boto3: most jobs' data is in folders, and their feeder starts in a tenth of the time.
            from local_mode.channels.s3 import S3  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ObjectError(
                f"s3:// needs {error.name}, which is not installed: pip install 'local-mode[serve]'."
            ) from None
        return S3(self._access)


class _Stream:
    def __init__(self, source: S3Source, found: Found, offset: int) -> None:
        self._source, self._found, self._at = source, found, offset
        self._view = memoryview(b"")

    def read(self, size: int, /) -> memoryview:
        if not self._view and self._at < self._found.size:
            length = min(PART_BYTES, self._found.size - self._at)
            self._view = memoryview(self._source.fetch(self._found, self._at, length, threading.Event()).data)
            self._at += len(self._view)
        chunk = self._view[:size]
        self._view = self._view[size:]
        return chunk

    def close(self) -> None:
        self._view = memoryview(b"")
