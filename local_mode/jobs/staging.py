"""Stands in for the s3:// places of a job: what lies there is brought to its scratch, what goes there is sent."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from local_mode.errors import ArtifactError, LocalModeError, SourceError
from local_mode.instance import artifacts
from local_mode.instance.plan import S3_PREFIX, ChannelPlan, ChannelSpec, arrange, plan_channel
from local_mode.instance.sources import Listing, SourceObject, cut

if TYPE_CHECKING:  # it brings boto3, which a job of this machine's files does without
    from local_mode.instance.s3 import S3, S3Object

_SCHEME = "s3://"
Stamp = tuple[int, int]
"""Size and time of a file, by which a changed one is known."""


class Staging:
    """The s3:// places of one job. Not a cache: all of it goes with the job's scratch."""

    def __init__(self, s3: "S3 | None", folder: Path) -> None:
        """`folder` need not be there yet; without `s3` every s3:// place is refused."""
        self._s3, self._folder = s3, folder
        self._downloads: list[tuple[S3Object, Path]] = []
        self._stamps: dict[str, Stamp] = {}

    def plan(self, spec: ChannelSpec) -> ChannelPlan:
        """The plan of a channel; one in S3 is listed now, and its objects lie where the plan says after `bring`.

        Raises:
            SourceError: nothing is found, or something cannot be a file.
        """
        if not spec.uri.startswith(_SCHEME):
            return plan_channel(spec)
        if spec.data_type != S3_PREFIX:
            raise SourceError(
                f"Channel {spec.name!r}: local_mode does not read a {spec.data_type} from S3 yet; "
                "give it in a folder, or use S3Prefix."
            )
        try:
            listing = self.listing(spec.uri, spec.name)
        except SourceError as error:
            raise SourceError(f"Channel {spec.name!r}: {error}") from None
        mode = "streamed from a copy" if spec.mode == "Pipe" else "read from a copy"
        surprise = "" if spec.mode == "File" else f"copied from S3 before the start, then {mode}"
        return dataclasses.replace(arrange(spec, listing), surprise=surprise)

    def listing(self, uri: str, channel: str) -> Listing:
        """What an s3:// prefix names, as `sources.list_objects` has it for folders; its files come with `bring`.

        Raises:
            SourceError: nothing is found, or something cannot be a file.
        """
        folder, prefix = self._folder / "channels" / channel, uri.removeprefix(_SCHEME).partition("/")[2]
        listed = [item for item in self._served(uri).list(uri) if not item.key.endswith("/")]
        if not listed:
            raise SourceError(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the '
                "bucket exists and that objects exist under that S3 prefix."
            )
        objects = tuple(_object(item, cut(prefix, item.key), folder) for item in listed)
        _refuse_clashes(uri, objects)
        self._downloads += [(item, folder / planned.name) for item, planned in zip(listed, objects, strict=True)]
        return Listing(objects=objects, root=folder)

    def check_output(self, uri: str) -> None:
        """See that `uri` can be written to, as far as that can be known before.

        Raises:
            SourceError: there is no such bucket, or no S3 is served.
        """
        if uri.startswith(_SCHEME):
            self._served(uri).check_bucket(uri)

    def bring(self) -> None:
        """Download the channels.

        Raises:
            LocalModeError: an object cannot be read, or not be written here.
        """
        for item, path in self._downloads:
            try:
                self._served(_SCHEME).download(item, path)
            except (SourceError, OSError) as error:
                raise LocalModeError(f"Data download failed: {error}") from None

    def folder(self, uri: str) -> str:
        """A folder with what lies at `uri`; `uri` itself where that is one.

        Raises:
            SourceError: an object cannot be read.
        """
        if not uri.startswith(_SCHEME):
            return uri
        folder, prefix = self._folder / "checkpoints", _as_folder(uri)
        folder.mkdir(parents=True, exist_ok=True)
        for item in self._served(uri).list(prefix):
            name = f"{_SCHEME}{item.bucket}/{item.key}".removeprefix(prefix)
            if not name.endswith("/"):
                self._served(uri).download(item, folder / _object(item, name, folder).name)
        self._stamps = _stamps(folder)
        return str(folder)

    def send_folder(self, uri: str) -> None:
        """Bring to `uri` what changed in the folder that `folder` made of it; nothing for other places.

        Raises:
            ArtifactError: an object cannot be written or removed.
        """
        if not uri.startswith(_SCHEME):
            return
        folder, s3, now = self._folder / "checkpoints", self._served(uri), _stamps(self._folder / "checkpoints")
        try:
            for name in sorted(name for name, stamp in now.items() if self._stamps.get(name) != stamp):
                s3.upload(folder / name, f"{_as_folder(uri)}{name}")
            for name in sorted(set(self._stamps) - set(now)):
                s3.delete(f"{_as_folder(uri)}{name}")
        except SourceError as error:
            raise ArtifactError(f"Checkpoint upload failed: {error}") from None

    def publish(self, folder: Path, output: str, job_name: str) -> None:
        """Copy both archives to S3OutputPath.

        Raises:
            ArtifactError: they cannot be written there.
        """
        if not output.startswith(_SCHEME):
            artifacts.publish(folder, output, job_name)
            return
        try:
            for name in (artifacts.MODEL, artifacts.OUTPUT):
                self._served(output).upload(folder / name, f"{_as_folder(output)}{job_name}/output/{name}")
        except SourceError as error:
            raise ArtifactError(f"Artifact upload failed: {error}") from None

    def _served(self, uri: str) -> "S3":
        if self._s3 is None:
            raise SourceError(
                f"local_mode does not read or write {uri!r} without its endpoint; run the job there "
                "(python -m local_mode serve), or give a folder or a file:/// URI."
            )
        return self._s3


def model_uri(output: str, job_name: str) -> str:
    """Where the model of a job goes below its S3OutputPath."""
    if output.startswith(_SCHEME):
        return f"{_as_folder(output)}{job_name}/output/{artifacts.MODEL}"
    return (artifacts.upload_folder(output, job_name) / artifacts.MODEL).as_uri()


def _as_folder(uri: str) -> str:
    return uri if uri.endswith("/") else f"{uri}/"


def _object(item: "S3Object", name: str, folder: Path) -> SourceObject:
    if {"", ".", ".."} & set(name.split("/")) or "\0" in name:
        raise SourceError(f"s3://{item.bucket}/{item.key} cannot be a file below a channel; give it another key.")
    return SourceObject(name=name, key=str(folder / name), size=item.size)


def _refuse_clashes(uri: str, objects: tuple[SourceObject, ...]) -> None:
    names = {item.name for item in objects}
    if len(names) < len(objects):
        raise SourceError(f"{uri} puts two objects at one place; use a longer prefix.")
    for item in objects:
        for parent in Path(item.name).parents:
            if str(parent) in names:
                raise SourceError(
                    f"{uri} has both an object {str(parent)!r} and objects below it; they cannot be a file and a "
                    "folder at once."
                )


def _stamps(folder: Path) -> dict[str, Stamp]:
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found
