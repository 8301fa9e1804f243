"""Looks into an image without running it: its settings, where its programs lie, what it ships for the platform."""

import base64
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from trainjob import contract

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINKS = 10
"""Followed from one to the next before giving up, as the kernel gives up."""
_LINK_BIT, _FOLDER_BIT = 1 << 27, 1 << 31
"""Of the engine's file modes, which are Go's."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image, as its engine describes it."""

    name: str
    system: str
    architecture: str
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    """As USER says; empty for root."""
    folder: str = ""
    """As WORKDIR says; empty for /."""
    environment: Mapping[str, str]
    programs: Mapping[str, str]
    """Where those of the programs asked for lie that can be started; others are absent."""
    baked: tuple[str, ...] = ()
    """Some of the files that the image ships below the platform's folder."""


def look_into(client: Any, image: str, programs: Iterable[str]) -> ImageFacts:
    """What can be said of `image`, which the engine behind `client` has.

    A container is made of it and removed, not started: only so does an engine tell an image's files.
    """
    attributes = client.images.get(image).attrs
    config = attributes["Config"]
    environment = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    entrypoint = tuple(config.get("Entrypoint") or ())
    container = client.containers.create(image, ["true"])
    try:
        files = _Files(client.api, container.id)
        folders = environment.get("PATH", _SYSTEM_PATH).split(":")
        found = {name: files.program(name, folders) for name in {*programs, *entrypoint[:1]}}
        baked = files.some_below(str(contract.Paths().base))
    finally:
        container.remove(force=True, v=True)
    return ImageFacts(
        name=image,
        system=attributes["Os"],
        architecture=attributes["Architecture"],
        entrypoint=entrypoint,
        user=config.get("User") or "",
        folder=config.get("WorkingDir") or "",
        environment=environment,
        programs={name: path for name, path in found.items() if path},
        baked=baked,
    )


class _Files:
    """The files of a container, by the engine's archive calls."""

    def __init__(self, api: Any, container: str) -> None:
        """`api` is the docker SDK's client, which is a session of requests."""
        self._api = api
        self._url = f"{api.base_url}/containers/{container}/archive"

    def program(self, name: str, folders: Iterable[str]) -> str | None:
        """Where a program lies that can be started by `name`."""
        paths = [name] if "/" in name else [str(PurePosixPath(folder or "/", name)) for folder in folders]
        return next((path for path in paths if self._is_executable(path)), None)

    def some_below(self, folder: str) -> tuple[str, ...]:
        """The first files below a folder."""
        if self._status(folder) is None:
            return ()
        plain = {"Accept-Encoding": "identity"}  # else it comes packed
        with self._api.get(self._url, params={"path": folder}, headers=plain, stream=True) as answer:
            answer.raise_for_status()
            with tarfile.open(fileobj=answer.raw, mode="r|") as archive:
                names = (item.name for item in archive if not item.isdir())
                return tuple(str(PurePosixPath(folder).parent / name) for name in islice(names, _SHOWN))

    def _is_executable(self, path: str) -> bool:
        for _ in range(_LINKS):
            status = self._status(path)
            if status is None or status["mode"] & _FOLDER_BIT:
                return False
            if not status["mode"] & _LINK_BIT:
                return bool(status["mode"] & 0o111)
            path = str(PurePosixPath(path).parent / status["linkTarget"])
        return False

    def _status(self, path: str) -> dict[str, Any] | None:
        answer = self._api.head(self._url, params={"path": path})
        if not answer.ok:
            return None
        status: dict[str, Any] = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        return status
