"""Takes down mounts that are, or were left, below a folder. Standard library only."""

import ctypes
import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

_MNT_DETACH = 2
_SECONDS = 10


def mounted_below(folder: Path) -> list[Path]:
    """Mount points at or below a folder, innermost first; those of processes that are gone as well."""
    top = folder.parent.resolve() / folder.name
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        path = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]))
        if path.is_relative_to(top):
            found.append(path)
    return sorted(found, reverse=True)


def detach(path: Path) -> None:
    """Unmount, even where files are open; nothing where nothing is mounted.

    Raises:
        OSError: it cannot be.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _MNT_DETACH) == 0 or (code := ctypes.get_errno()) == errno.EINVAL:
        return
    # Who is not root may unmount what is their own with fuse's help.
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    if program and code == errno.EPERM:
        command = [program, "-u", "-z", str(path)]
        if subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS).returncode == 0:
            return
    raise OSError(code, os.strerror(code), str(path))


def detach_below(folder: Path) -> None:
    """Unmount all that is mounted below a folder, before it is removed.

    Raises:
        OSError: something cannot be unmounted.
    """
    for path in mounted_below(folder):
        detach(path)
