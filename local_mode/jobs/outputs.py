"""What a job keeps in S3 while and after it runs: checkpoints both ways, artifacts at its end."""

from pathlib import Path
from typing import TYPE_CHECKING

from local_mode.channels.objects import SCHEME, unserved
from local_mode.channels.sources import SourceObject
from local_mode.errors import ArtifactError, SourceError
from local_mode.instance import artifacts
from local_mode.instance.checkpoints import CheckpointStore, FolderStore, is_synced

if TYPE_CHECKING:  # it brings boto3, which a job of this machine's files does without
    from local_mode.channels.s3 import S3, S3Object


class Outputs:
    """The places that one job writes to, in S3 or in folders."""

    def __init__(self, s3: "S3 | None") -> None:
        """Without `s3` every s3:// place is refused."""
        self._s3 = s3

    def check_output(self, uri: str) -> None:
        """See that `uri` can be written to, as far as that can be known before.

        Raises:
            SourceError: there is no such bucket, or no S3 is served.
        """
        if uri.startswith(SCHEME):
            served(self._s3, uri).check_bucket(uri)

    def checkpoints(self, uri: str) -> CheckpointStore:
        """What keeps the checkpoints of CheckpointConfig.S3Uri.

        Raises:
            SourceError: no S3 is served.
        """
        return S3Store(served(self._s3, uri), uri) if uri.startswith(SCHEME) else FolderStore(uri)

    def tensorboard(self, uri: str, job_name: str) -> CheckpointStore:
        """What keeps TensorBoard's files of a job, where SDK v2 looks for them below S3OutputPath.

        Raises:
            SourceError: no S3 is served.
        """
        return self.checkpoints(f"{_as_folder(uri)}{job_name}/tensorboard-output")

    def publish(self, folder: Path, output: str, job_name: str) -> None:
        """Copy what `artifacts.pack` left in `folder` to S3OutputPath.

        Raises:
            ArtifactError: it cannot be written there.
        """
        if not output.startswith(SCHEME):
            artifacts.publish(folder, output, job_name)
            return
        try:
            for name in artifacts.left(folder):
                served(self._s3, output).upload(folder / name, f"{_as_folder(output)}{job_name}/output/{name}")
        except SourceError as error:
            raise ArtifactError(f"Artifact upload failed: {error}") from None


class S3Store:
    """A prefix in S3, as a store of checkpoints."""

    def __init__(self, s3: "S3", uri: str) -> None:
        self._s3, self._prefix = s3, _as_folder(uri)

    def bring(self, folder: Path) -> None:
        """Download all of it.

        Raises:
            LocalModeError: an object cannot be read, or be a file.
        """
        for item in self._s3.list(self._prefix):
            name = f"{SCHEME}{item.bucket}/{item.key}".removeprefix(self._prefix)
            if name.endswith("/") or not is_synced(name):
                continue
            try:
                self._s3.download(item, folder / as_object(item, name, folder).name)
            except OSError as error:
                raise ArtifactError(f"Cannot copy checkpoint {item.key} to {folder}: {error.strerror}.") from None

    def put(self, file: Path, name: str) -> None:
        """Upload a file."""
        self._s3.upload(file, self._uri(name))

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._s3.delete(self._uri(name))

    def _uri(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise SourceError(f"Checkpoint {name!r} cannot be an object: its name is not UTF-8; rename it.") from None
        return f"{self._prefix}{name}"


def model_uri(output: str, job_name: str, *, compressed: bool = True) -> str:
    """Where the model of a job goes below its S3OutputPath: an archive, or a prefix."""
    name = artifacts.MODEL if compressed else f"{artifacts.PLAIN_MODEL}/"
    if output.startswith(SCHEME):
        return f"{_as_folder(output)}{job_name}/output/{name}"
    return f"{artifacts.upload_folder(output, job_name).as_uri()}/{name}"


def served(s3: "S3 | None", uri: str) -> "S3":
    """The S3 that has `uri`.

    Raises:
        SourceError: none is served.
    """
    if s3 is None:
        raise SourceError(unserved(uri))
    return s3


def as_object(item: "S3Object", name: str, folder: Path) -> SourceObject:
    """An S3 object as the file `name` below `folder`.

    Raises:
        SourceError: there can be no such file.
    """
    if {"", ".", ".."} & set(name.split("/")) or "\0" in name:
        raise SourceError(f"s3://{item.bucket}/{item.key} cannot be a file below a channel; give it another key.")
    return SourceObject(name=name, key=str(folder / name), size=item.size)


def _as_folder(uri: str) -> str:
    return uri if uri.endswith("/") else f"{uri}/"
