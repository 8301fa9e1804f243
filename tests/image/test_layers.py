"""Every layer of both images, file by file: nothing that only a build needs, nothing that is nobody's business."""

import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pytest

from scripts.images import engine
from scripts.images.layers import Archive
from tests.unit.scripts.images.saved import saved

PROGRAMS = {"bin", "sbin", "libexec"}
COMPILERS = re.compile(
    r"(.*-)?(as|c\+\+|cc|cc1|cc1plus|clang(\+\+)?|collect2|cpp|g\+\+|gcc|gfortran|ld|ld\.(bfd|gold|lld)|lld|make|nvcc|cmake"
    r"|ninja|rustc|go)(-[0-9.]+)?"
)
CACHES = re.compile(
    r"(root|home/[^/]+)/\.cache/.|var/lib/apt/lists/.|var/cache/apt/.|.*\.deb$|.*/pip-(ephem|build|install|unpack)|tmp/."
)
SECRET_FILES = re.compile(
    r"(.*/)?(\.netrc|\.pypirc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|\.?pip\.conf|\.aws/.+|\.docker/config\.json)"
)
SECRETS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{100}",
        rb"AKIA(?<![A-Z0-9]AKIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}(?![A-Z0-9])",
        rb"ASIA(?<![A-Z0-9]ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}(?![A-Z0-9])",
        rb"http(?:s)?://(?!username:password@)[^/\s:@\"'{}<>\[\]$%(),*]+:[^/\s:@\"'{}<>\[\]$%(),*]+@",
    )
)
"""But for what AWS's and urllib3's own documentation puts in a secret's place. Each begins with letters of its own, by
which it is looked for: together in one expression they take twenty times as long."""
READ_BYTES = 1 << 20
"""Larger files are libraries and tables, in which no build writes a password."""
STATIC = (".a", ".la", ".o")


def secrets_in(content: bytes) -> list[bytes]:
    return [found[0] for pattern in SECRETS for found in pattern.finditer(content)]


@dataclass
class Found:
    """What should not be there, as paths."""

    compilers: list[str] = field(default_factory=list)
    caches: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    seen: int = 0

    def look(self, member: tarfile.TarInfo, read: Callable[[], bytes]) -> None:
        """Takes one entry of one layer."""
        path = PurePosixPath(member.name.removeprefix("./"))
        self.seen += 1
        if member.isdir() or path.name.startswith(".wh."):
            return
        if PROGRAMS & set(path.parts[:-1]) and COMPILERS.fullmatch(path.name):
            self.compilers.append(str(path))
        if CACHES.match(str(path)) and member.size:  # locks of apt are empty files
            self.caches.append(str(path))
        if path.suffix in STATIC:
            self.static.append(str(path))
        if SECRET_FILES.fullmatch(str(path)):
            self.secrets.append(str(path))
        elif member.isreg() and member.size <= READ_BYTES:
            self.secrets += [f"{path}: {secret[:40]!r}" for secret in secrets_in(read())]


@dataclass(frozen=True, kw_only=True)
class Walked:
    """An image that was walked, and what its settings say."""

    found: Found
    told: str
    """Its environment, and every step that made it."""


@pytest.fixture(scope="module", params=["pytorch", "keras"])
def walked(request: pytest.FixtureRequest) -> Walked:
    image = request.getfixturevalue(f"{request.param}_image")
    found = Found()
    with engine.saved(image) as stream:
        archive = Archive(stream, found.look)
    steps = [entry.get("created_by", "") for entry in archive.config["history"]]
    return Walked(found=found, told="\n".join([*archive.config["config"]["Env"], *steps]))


def test_no_layer_holds_a_compiler_or_a_linker(walked: Walked):
    assert walked.found.seen > 10_000
    assert walked.found.compilers == []


def test_no_layer_holds_a_cache_of_packages_or_what_a_build_left_behind(walked: Walked):
    assert walked.found.caches == []


def test_no_layer_holds_libraries_for_a_linker(walked: Walked):
    assert walked.found.static == []


def test_no_layer_holds_a_secret(walked: Walked):
    assert walked.found.secrets == []


def test_no_step_and_no_variable_holds_a_secret(walked: Walked):
    assert secrets_in(walked.told.encode()) == []
    assert re.findall(r"(?i)\b\w*(?:password|passwd|token|secret_access)\w*=\S+", walked.told) == []


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("usr/bin/x86_64-linux-gnu-gcc-14", b"", "compilers"),
        ("usr/libexec/gcc/x86_64-linux-gnu/14/cc1plus", b"", "compilers"),
        ("opt/venv/lib/python3.13/site-packages/nvidia/bin/nvcc", b"", "compilers"),
        ("root/.cache/pip/http/a", b"x", "caches"),
        ("var/lib/apt/lists/deb.debian.org_InRelease", b"x", "caches"),
        ("var/cache/apt/pkgcache.bin", b"x", "caches"),
        ("tmp/requirements.lock", b"x", "caches"),
        ("opt/venv/lib/libx.a", b"", "static"),
        ("etc/pip.conf", b"[global]", "secrets"),
        ("root/.netrc", b"", "secrets"),
        ("etc/app.ini", b"index = https://user:word@example.com/simple", "secrets"),
        ("etc/app.ini", b"key = " + b"AKIA" + b"ABCDEFGHIJKLMNOP", "secrets"),
        ("etc/key", b"-----BEGIN RSA " + b"PRIVATE KEY-----\n" + b"MIIE" * 40, "secrets"),
    ],
)
def test_walk_finds_what_a_later_layer_has_deleted(path: str, content: bytes, kind: str):
    found = Found()
    name = PurePosixPath(path)
    Archive(saved([{path: content}, {str(name.with_name(f".wh.{name.name}")): b""}]), found.look)

    assert [seen.split(":")[0] for seen in getattr(found, kind)] == [path]


@pytest.mark.parametrize(
    "path", ["usr/bin/python3.13", "opt/venv/bin/train", "usr/share/make/readme", "var/lib/apt/lists"]
)
def test_walk_lets_pass_what_may_be_there(path: str):
    found = Found()
    Archive(saved([{path: b"https://example.com/ and BEGIN PRIVATE"}]), found.look)

    assert found == Found(seen=1)
