"""Packs /opt/ml for an engine to unpack in a container."""

import tarfile
import tempfile
from typing import IO

from trainjob import contract

from local_mode.runners.protocol import Launch


def pack(launch: Launch) -> IO[bytes]:
    """The configuration as an archive, all root's, as the platform leaves it; nothing of what is mounted."""
    opt_ml = launch.opt_ml
    mounted = [contract.Paths(opt_ml).data, *([launch.checkpoints.source] if launch.checkpoints else [])]

    def rootly(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if any((opt_ml / member.name).is_relative_to(folder) for folder in mounted):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    file = tempfile.TemporaryFile(dir=launch.scratch)  # noqa: SIM115  # the caller closes it; memory may be too small
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry in sorted(opt_ml.iterdir()):
            archive.add(entry, arcname=entry.name, filter=rootly)
    file.seek(0)
    return file
