"""Lays the folders that several hosts left over one another, as one folder that is packed or uploaded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Merged:
    """Several folders as one."""

    entries: Mapping[str, Path]
    """What lies at each name below the folder: files, links, and folders before what is in them."""
    clashes: tuple[str, ...]
    """Names that more than one folder has; folders that meet are none."""


def merge(folders: Iterable[Path]) -> Merged:
    """Lay `folders` over one another; of two that have a name, the first keeps it. One that is absent is empty.

    Raises:
        OSError: a folder cannot be read.
    """
    entries: dict[str, Path] = {}
    clashes: set[str] = set()
    for folder in folders:
        for name, path in _walk(folder, "") if folder.is_dir() else ():
            parent = name.rpartition("/")[0]
            if parent and not (parent in entries and _is_folder(entries[parent])):
                continue  # below a name that clashed: another host has a file there
            if name not in entries:
                entries[name] = path
            elif not (_is_folder(path) and _is_folder(entries[name])):
                clashes.add(name)
    return Merged(entries=dict(sorted(entries.items())), clashes=tuple(sorted(clashes)))


def _walk(folder: Path, below: str) -> Iterator[tuple[str, Path]]:
    for entry in sorted(folder.iterdir()):
        name = f"{below}{entry.name}"
        yield name, entry
        if _is_folder(entry):
            yield from _walk(entry, f"{name}/")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
