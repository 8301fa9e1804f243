"""Mounts the FastFile channels of a job that are in S3, and takes them down; says where that cannot be."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path
from typing import IO, cast

from local_mode.channels.feeding import environment
from local_mode.channels.mounts import detach, mounted_below
from local_mode.channels.plan import ChannelPlan
from local_mode.channels.s3_access import S3Access
from local_mode.errors import FeederError

_MOUNT_SECONDS = 20
_END_SECONDS = 10
_DEVICE, _SETTINGS = Path("/dev/fuse"), Path("/etc/fuse.conf")
Note = Callable[[str], None]


def why_not() -> str:
    """Why files of S3 cannot be shown here before they are fetched; empty when they can."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"{_DEVICE} is not there or not ours to use"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed (pip install 'local-mode[fastfile]')"
    if not find_library("fuse3") and not find_library("fuse"):
        return "libfuse is not installed (Debian: fuse3)"
    lines = _SETTINGS.read_text(encoding="utf-8").split("\n") if _SETTINGS.is_file() else []
    if os.geteuid() and "user_allow_other" not in lines:
        return f"{_SETTINGS} does not have the line user_allow_other, and a container has another user"
    return ""


class FastFiles:
    """The mounts of one job. `close` it, and use it from one thread: mounts go with the thread that made them."""

    def __init__(self, folder: Path, *, marker: dict[str, str], s3: S3Access | None, note: Note) -> None:
        """`folder` is made when it is needed; `marker` goes to the environment; `note` is told what users must know."""
        self._folder, self._marker, self._s3, self._note = folder, marker, s3, note
        self._mounts: list[_Mount] = []

    def mount(self, plan: ChannelPlan) -> Path | None:
        """A folder that shows the channel; None where it has to be copied, and why was told."""
        if self._s3 is None:
            raise ValueError("there is no S3 that the channel could be in")
        if not (reason := why_not()):
            mount = _Mount(self._folder / plan.spec.name, plan, environment(self._marker, self._s3), self._note)
            self._mounts.append(mount)
            if not (reason := mount.failure()):
                return mount.path
            self._mounts.remove(mount)
            mount.close()
        self.tell_of_copy(plan, reason)
        return None

    def tell_of_copy(self, plan: ChannelPlan, reason: str) -> None:
        """Say that a channel is not what it is on the service."""
        self._note(f"channel {plan.spec.name}: copied before the start, not fetched file by file: {reason}")

    @property
    def error(self) -> FeederError | None:
        """Why a channel's files cannot be read any more; None while all is well."""
        return next((error for mount in self._mounts if (error := mount.error())), None)

    def close(self) -> None:
        """Unmount, and end what showed the files."""
        while self._mounts:
            self._mounts.pop().close()


class _Mount:
    def __init__(self, folder: Path, plan: ChannelPlan, environ: dict[str, str], note: Note) -> None:
        self.path, cache = folder / "mount", folder / "cache"
        for made in (self.path, cache):
            made.mkdir(parents=True)
        objects = [{"name": item.name, "key": item.key, "size": item.size, "tag": item.tag} for item in plan.objects]
        document = {"mount": str(self.path), "cache": str(cache), "parent": os.getpid(), "objects": objects}
        (folder / "plan.json").write_text(json.dumps(document), encoding="utf-8")
        self._name, self._note = plan.spec.name, note
        self._last = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local_mode.channels.fast_file", str(folder / "plan.json")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,  # Ctrl-C in a terminal is for local_mode, which then ends the job in order
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True, name="fast-file")
        self._listener.start()

    def failure(self) -> str:
        """Waits until the files are there; why they will not be."""
        deadline = time.monotonic() + _MOUNT_SECONDS
        while not mounted_below(self.path):
            if self._process.poll() is not None:
                self._listener.join(_END_SECONDS)
                return f"they cannot be mounted: {self._last or self._process.returncode}"
            if time.monotonic() > deadline:
                return f"they were not mounted within {_MOUNT_SECONDS} s"
            time.sleep(0.005)
        return ""

    def error(self) -> FeederError | None:
        code = self._process.poll()
        if code is None:
            return None
        return FeederError(f"Channel {self._name!r}: the program that shows its files ended with code {code}.")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_END_SECONDS)
        for path in mounted_below(self.path):
            detach(path)

    def _listen(self) -> None:
        with cast(IO[str], self._process.stdout) as lines:
            for line in lines:
                if line.startswith("{"):
                    self._note(f"channel {self._name}: {json.loads(line)['error']}")
                else:
                    self._last = line.strip() or self._last
