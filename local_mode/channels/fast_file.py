"""Shows a FastFile channel that is in S3 as a read-only folder whose files are fetched when they are read.

Run:  python -m local_mode.channels.fast_file PLAN.json

A program of its own, as the feeder is; it needs mfusepy and libfuse. PLAN.json: {"mount": where, "cache": a folder for
what was fetched, "parent": pid, "objects": [{"name", "key", "size", "tag"}]}; the S3 and its key are in the
environment, as the feeder's are. On stdout, JSON lines {"error"}, one for each file that could not be read. SIGTERM, or
the end of the parent: unmounted, exit 0.
"""

import ctypes
import errno
import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trainjob import contract

from local_mode.channels.ahead import CONNECTIONS
from local_mode.channels.lazy_file import LazyFile
from local_mode.channels.objects import Found, ObjectError, Remote
from local_mode.channels.s3_access import S3Access
from local_mode.channels.s3_source import S3Source

_PR_SET_PDEATHSIG = 1


class Tree:
    """What libfuse asks: mfusepy calls these methods by their names, from several threads."""

    use_ns = True

    def __init__(self, objects: list[Mapping[str, Any]], source: Remote, cache: Path) -> None:
        """Files by their paths below the mount, with their folders; none is fetched yet."""
        pool = ThreadPoolExecutor(CONNECTIONS)
        self._sizes: dict[str, int] = {}
        self._files: dict[str, LazyFile] = {}
        self._folders: dict[str, dict[str, None]] = {"/": {}}
        self._broken: set[str] = set()
        self._telling = threading.Lock()
        self._now = time.time_ns()
        for number, item in enumerate(objects):
            path, found = f"/{item['name']}", Found(item["key"], item["size"], item["tag"])
            self._files[path] = LazyFile(source, found, cache / str(number), pool)
            self._sizes[path] = found.size
            self._place(path)

    def _place(self, path: str) -> None:
        while path != "/":
            parent, _, name = path.rpartition("/")
            siblings = self._folders.setdefault(parent or "/", {})
            if name in siblings:
                return
            siblings[name] = None
            path = parent or "/"

    def getattr(self, path: str, handle: int | None = None) -> dict[str, int]:
        """Kind, size and time of a file or folder."""
        del handle
        times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), self._now)
        if path in self._folders:
            return {"st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2, **times}
        if path not in self._sizes:
            raise OSError(errno.ENOENT, "there is no such object", path)
        return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": self._sizes[path], **times}

    def readdir(self, path: str, handle: int) -> list[str]:
        """Names in a folder."""
        del handle
        return [".", "..", *self._folders[path]]

    def open(self, path: str, flags: int) -> int:
        """A file is found by its path: there is no handle."""
        del path, flags
        return 0

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        """Bytes of a file; EIO where its object is not what it was."""
        del handle
        try:
            return self._files[path].read(size, offset)
        except (ObjectError, OSError) as error:
            self._tell(path, str(error))
            raise OSError(errno.EIO, str(error), path) from None

    def _tell(self, path: str, text: str) -> None:
        with self._telling:
            if path not in self._broken:
                self._broken.add(path)
                sys.stdout.write(json.dumps({"error": text}) + "\n")
                sys.stdout.flush()


def main(argv: list[str]) -> int:
    """Show the plan named in `argv` until told to stop; the exit code."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    plan = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    access = S3Access.from_environment(os.environ)
    if access is None or os.getppid() != plan["parent"]:
        return contract.EXIT_FAILURE
    # Here: it loads libfuse, which need not be on a machine where this is imported only.
    from mfusepy import FUSE  # noqa: PLC0415

    tree = Tree(plan["objects"], S3Source(access), Path(plan["cache"]))
    FUSE(
        tree,
        plan["mount"],
        foreground=True,
        ro=True,
        allow_other=True,
        default_permissions=True,
        kernel_cache=True,
        fsname="local_mode",
    )
    return contract.EXIT_SUCCESS


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code)  # a part may be under way that nobody waits for
