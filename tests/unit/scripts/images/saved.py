"""An image as `docker save` writes it, made of files in memory."""

import gzip
import hashlib
import io
import json
import tarfile

Content = dict[str, bytes]
"""Path and bytes."""


def tar(files: Content, **settings: int) -> bytes:
    """A tar of files; settings are fields of every entry, as in mode=0o600."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            for name, value in settings.items():
                setattr(entry, name, value)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def saved(layers: list[Content], *, oci: bool = False, twice: bool = False) -> io.BytesIO:
    """An archive of these layers, and an empty step between each two.

    Args:
        layers: from the base upwards.
        oci: as engines with containerd's store write it: blobs by digest, layers compressed.
        twice: the last layer is the first once more, as a link.
    """
    tars = [tar(layer) for layer in layers]
    names = [_blob(gzip.compress(data)) if oci else f"{index:064x}/layer.tar" for index, data in enumerate(tars)]
    files = dict(zip(names, [gzip.compress(data) for data in tars] if oci else tars, strict=True))
    history = [entry for index in range(len(tars)) for entry in (_step(index), _step(index, empty=True))]
    linked = f"{99:064x}/layer.tar"
    if twice:
        names.append(linked)
        history.append(_step(len(tars)))
    config = json.dumps({"history": history}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": ["x:dev"], "Layers": names}]).encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in (*files.items(), ("config.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if twice:
            link = tarfile.TarInfo(linked)
            link.type, link.linkname = tarfile.SYMTYPE, f"../{names[0]}"
            archive.addfile(link)
    stream.seek(0)
    return stream


def _step(index: int, *, empty: bool = False) -> dict[str, object]:
    return {"created_by": f"{'ENV' if empty else 'RUN'} step {index}", **({"empty_layer": True} if empty else {})}


def _blob(data: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
