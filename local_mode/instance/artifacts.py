"""Packs what a container leaves: two archives, or plain files, in the job's folder and at S3OutputPath."""

import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from isal import igzip
from trainjob import contract

from local_mode.channels.sources import local_path
from local_mode.errors import ArtifactError
from local_mode.instance import beneath
from local_mode.instance.merging import merge

MODEL = "model.tar.gz"
OUTPUT = "output.tar.gz"
PLAIN_MODEL, PLAIN_OUTPUT = "model", "output"
"""Folders of the files, where a request asks for no compression."""
_GZIP_LEVEL = 1
"""Of Intel's 0 to 3, as zlib's 1 in size; zlib itself takes 20 times as long, which a model waits for at its end."""


def pack(hosts: Mapping[str, contract.Paths], folder: Path) -> dict[str, tuple[str, ...]]:
    """Write both archives to `folder`; the root of each is the contents of its folder, as on SageMaker.

    What `hosts`, by name, left is laid over one another. Returns, by archive, names that several hosts wrote: of those
    the first host's is in it.

    Raises:
        ArtifactError: an archive cannot be written; no half of it is left, and its folders are kept instead.
    """
    clashes = {}
    for name, part in ((MODEL, "model"), (OUTPUT, "output_data")):
        sources: dict[str, Path] = {host: getattr(paths, part) for host, paths in hosts.items()}
        try:
            clashes[name] = _pack(sources, folder / name)
        except OSError as error:
            reason = f"cannot write {folder / name}: {error.strerror or error}"
            kept = folder / name.removesuffix(".tar.gz")
            _keep(sources, kept)
            raise ArtifactError(f"Artifact upload failed: {reason}; what the program wrote is in {kept}.") from None
    return clashes


def lay_out(
    hosts: Mapping[str, contract.Paths], folder: Path, note: Callable[[str], None]
) -> dict[str, tuple[str, ...]]:
    """Move the files themselves to folders of `folder`, for OutputDataConfig.CompressionType NONE; else as `pack`.

    S3 has files only: what is none, and links that lead out of their folder, is left out, and `note` is told.

    Raises:
        ArtifactError: the files cannot be moved or read.
    """
    clashes = {}
    for name, part in ((PLAIN_MODEL, "model"), (PLAIN_OUTPUT, "output_data")):
        sources: list[Path] = [getattr(paths, part) for paths in hosts.values()]
        try:
            clashes[f"{name}/"] = _move(sources, folder / name, note)
        except OSError as error:
            where = f"cannot move {error.filename} to {folder / name}"
            raise ArtifactError(f"Artifact upload failed: {where}: {error.strerror}.") from None
    return clashes


def left(folder: Path) -> list[str]:
    """Paths in `folder` of all that `pack` or `lay_out` left there."""
    plain = [
        f"{name}/{item}"
        for name in (PLAIN_MODEL, PLAIN_OUTPUT)
        if (folder / name).is_dir()
        for item in beneath.files(folder / name)[0]
    ]
    return [name for name in (MODEL, OUTPUT) if (folder / name).is_file()] + sorted(plain)


def publish(folder: Path, output_path: str, job_name: str) -> Path:
    """Copy what is left to S3OutputPath/<job>/output/; the folder it is in then.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    target = upload_folder(output_path, job_name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in left(folder):
            half = (target / name).with_name(f".{Path(name).name}.part")
            half.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, half)
            half.replace(target / name)
    except OSError as error:
        raise ArtifactError(f"Artifact upload failed: cannot write to {target}: {error.strerror}.") from None
    return target


def upload_folder(output_path: str, job_name: str) -> Path:
    """Where the artifacts of a job go below its S3OutputPath."""
    return Path(local_path(output_path)) / job_name / "output"


def _pack(sources: Mapping[str, Path], target: Path) -> tuple[str, ...]:
    half = target.with_name(f".{target.name}.part")
    try:
        merged = merge(sources.values())
        with (
            igzip.open(half, "wb", compresslevel=_GZIP_LEVEL) as compressed,  # type: ignore[no-untyped-call]  # its own
            tarfile.open(fileobj=compressed, mode="w") as archive,
        ):
            for name, path in merged.entries.items():
                archive.add(path, arcname=name, recursive=False)
        with half.open("rb") as written:
            os.fsync(written.fileno())
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    return merged.clashes


def _move(sources: list[Path], target: Path, note: Callable[[str], None]) -> tuple[str, ...]:
    files = {source / name: (source, name) for source in sources for name in beneath.files(source)[0]}
    merged = merge(sources)
    # Links first: what they lead to moves away.
    for name, path in sorted(merged.entries.items(), key=lambda entry: not entry[1].is_symlink()):
        if path in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                beneath.copy_whole(*files[path], target / name)
            else:
                shutil.move(path, target / name)  # within one file system: takes no room
        elif path.is_symlink() or not path.is_dir():
            note(f"{target.name}/{name} is not uploaded: it is no file, or a link that leads elsewhere")
    return merged.clashes


def _keep(sources: Mapping[str, Path], kept: Path) -> None:
    """Move folders to where they stay; within one file system, so it takes no room. Of several, each in its host's."""
    several = len(sources) > 1
    if several:
        kept.mkdir()
    for host, source in sources.items():
        if source.is_dir():
            shutil.move(source, kept / host if several else kept)
