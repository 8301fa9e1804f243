"""An S3 in memory, for tests of what goes there and comes from there."""

from dataclasses import dataclass, field

from local_mode.channels.s3 import S3Object, split
from local_mode.errors import SourceError


@dataclass
class FakeS3:
    """Objects by URI, and what was done to them."""

    objects: dict[str, bytes] = field(default_factory=dict)
    acts: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    def list(self, uri):
        found = sorted(name for name in self.objects if name.startswith(uri))
        pairs = ((*split(name), name) for name in found)
        return tuple(S3Object(bucket=b, key=k, size=len(self.objects[n]), tag="t") for b, k, n in pairs)

    def download(self, item, path):
        if self.broken:
            raise SourceError("Cannot read it: 404")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.objects[f"s3://{item.bucket}/{item.key}"])

    def upload(self, path, uri):
        if self.broken:
            raise SourceError("Cannot write it: 403")
        self.acts.append(("upload", uri))
        self.objects[uri] = path.read_bytes()

    def delete(self, uri):
        self.acts.append(("delete", uri))
        del self.objects[uri]
