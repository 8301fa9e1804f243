"""Which version and which commit is being built, and the time that stands for it."""

import subprocess
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from scripts.images.entry import ROOT

GIT_SECONDS = 30
UNKNOWN = "unknown"
SHORT = 12
"""Digits of a commit in a tag: enough for any repository, short enough to be read out."""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What is being built. It does not say for which image."""

    version: str
    commit: str
    """40 hexadecimal digits, or `unknown` outside git."""
    dirty: bool
    """The tree is not that commit."""
    time: int
    """Unix time of the commit: SOURCE_DATE_EPOCH."""
    source: str
    """Where the commit is to be had, without anybody's password; empty where the repository has no remote."""

    def __str__(self) -> str:
        return self.commit + self._mark

    @property
    def tag(self) -> str:
        """The tag of an image of this revision, as in `0.1.0-86c1e97d0f3a` and `0.1.0-86c1e97d0f3a-dirty`."""
        return f"{self.version}-{self.commit[:SHORT]}{self._mark}"

    @property
    def created(self) -> str:
        """The commit's time as RFC 3339 has it."""
        return datetime.fromtimestamp(self.time, UTC).isoformat().replace("+00:00", "Z")

    @property
    def _mark(self) -> str:
        return "-dirty" if self.dirty else ""


def read(root: Path = ROOT) -> Revision:
    """The revision of a tree; outside git its commit is `unknown` and its time 1970."""
    version = read_version(root)
    try:
        status = _git(root, "status", "--porcelain")
        commit, time = _git(root, "log", "-1", "--format=%H %ct").split()
    except (OSError, subprocess.SubprocessError):
        return Revision(version=version, commit=UNKNOWN, dirty=False, time=0, source="")
    return Revision(version=version, commit=commit, dirty=bool(status), time=int(time), source=_source(root))


def read_version(root: Path = ROOT) -> str:
    """The project's version, as pyproject.toml states it."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def _source(root: Path) -> str:
    try:
        address = urlsplit(_git(root, "config", "--get", "remote.origin.url"))
    except subprocess.CalledProcessError:
        return ""
    if address.scheme not in ("http", "https", "ssh"):
        return ""  # a folder or git's own short form of ssh: no address for others
    host = address.hostname or ""
    port = f":{address.port}" if address.port else ""
    return urlunsplit((address.scheme, host + port, address.path, "", ""))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_SECONDS).stdout.strip()
