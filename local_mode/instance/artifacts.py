"""Packs what a container leaves: model.tar.gz and output.tar.gz, in the job's folder and at S3OutputPath."""

import os
import shutil
import tarfile
from pathlib import Path

from trainjob import contract

from local_mode.errors import ArtifactError
from local_mode.instance.sources import local_path

MODEL = "model.tar.gz"
OUTPUT = "output.tar.gz"
_GZIP_LEVEL = 1
"""Weights hardly compress; higher levels take ten times as long for a percent."""


def pack(paths: contract.Paths, folder: Path) -> None:
    """Write both archives to `folder`; the root of each is the contents of its folder, as on SageMaker.

    Raises:
        ArtifactError: an archive cannot be written; no half of it is left, and its folder is kept instead.
    """
    for source, name in ((paths.model, MODEL), (paths.output_data, OUTPUT)):
        try:
            _pack(source, folder / name)
        except OSError as error:
            reason = f"cannot write {folder / name}: {error.strerror or error}"
            kept = folder / name.removesuffix(".tar.gz")
            shutil.move(source, kept)  # within one file system: takes no room
            raise ArtifactError(f"Artifact upload failed: {reason}; what the program wrote is in {kept}.") from None


def publish(folder: Path, output_path: str, job_name: str) -> Path:
    """Copy both archives to S3OutputPath/<job>/output/; the folder they are in then.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    target = upload_folder(output_path, job_name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in (MODEL, OUTPUT):
            half = target / f".{name}.part"
            shutil.copyfile(folder / name, half)
            half.replace(target / name)
    except OSError as error:
        raise ArtifactError(f"Artifact upload failed: cannot write to {target}: {error.strerror}.") from None
    return target


def upload_folder(output_path: str, job_name: str) -> Path:
    """Where the artifacts of a job go below its S3OutputPath."""
    return Path(local_path(output_path)) / job_name / "output"


def _pack(source: Path, target: Path) -> None:
    half = target.with_name(f".{target.name}.part")
    try:
        with tarfile.open(half, "w:gz", compresslevel=_GZIP_LEVEL) as archive:
            for entry in sorted(source.iterdir()) if source.is_dir() else ():
                archive.add(entry, arcname=entry.name)
        with half.open("rb") as written:
            os.fsync(written.fileno())
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
