"""A data set's archive, fetched from its authors: with a progress bar, a checksum, and on from where it was cut off."""

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError

from tqdm import tqdm
from trainjob.errors import DatasetError

_CHUNK_BYTES = 1 << 20
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file on the web, known by its checksum. It does not look into the file."""

    address: str
    md5: str
    """As its authors publish it. It finds damage; it is no proof against malice."""

    @property
    def name(self) -> str:
        """Its file name."""
        return self.address.rsplit("/", 1)[-1]

    def fetch(self, folder: Path) -> Path:
        """The archive in `folder`, downloaded unless it lies there.

        Raises:
            DatasetError: It cannot be fetched, or what came is not it.
        """
        whole, part = folder / self.name, folder / f"{self.name}.part"
        if not whole.exists():
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._download(part)
            except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, SSLError, EOFError) as error:
                raise DatasetError(
                    f"Cannot download {self.address}: {getattr(error, 'reason', error)}; the next call goes on after "
                    f"the {_size(part):,} bytes in {part}. Behind a proxy set HTTPS_PROXY; with the files at hand "
                    "give their folder (--from DIR, make local-train DATA=DIR)."
                ) from error
            self._verify(part)
            part.replace(whole)
        return whole

    def _download(self, part: Path) -> None:
        have = _size(part)
        headers = {"Range": f"bytes={have}-"} if have else {}
        request = urllib.request.Request(self.address, headers=headers)  # noqa: S310 - the address is ours
        try:
            response = urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # all of it is there; the checksum decides
            raise
        with response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                have = 0  # a server that knows no ranges sends it all
            total = have + int(response.headers.get("Content-Length", 0))
            bar = tqdm(desc=self.name, total=total or None, initial=have, unit="B", unit_scale=True)
            with part.open("ab" if have else "wb") as file, bar:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    bar.update(len(chunk))
        if _size(part) < total:
            raise EOFError(f"the connection ended after {_size(part):,} of {total:,} bytes")

    def _verify(self, part: Path) -> None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != self.md5:
            size = _size(part)
            part.unlink()
            raise DatasetError(
                f"What came from {self.address} ({size:,} bytes) has the md5 checksum {found}, not {self.md5}; "
                "it was removed: call again, and if that does not help, something on the way answers in its place."
            )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
