"""The data sets that there are, each a module of the same face."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from scripts.datasets import cifar10, cub200
from scripts.datasets.archive import Archive
from scripts.datasets.forms import Form
from scripts.datasets.shards import Sharding
from scripts.datasets.source import Source


class Dataset(Protocol):
    """What a module offers. It does not run jobs; it knows what one has to be told."""

    ARCHIVE: Archive
    FORMS: Mapping[str, Form]
    """By name; the first is what nobody has to ask for."""
    CHANNELS: tuple[str, ...]
    METRICS: tuple[str, ...]
    """What its programs report."""
    Published: Callable[[Path], Source]
    Downloaded: Callable[[Path], Source]
    Drawn: Callable[[], Source]

    def prepare(self, source: Source, out: Path, sharding: Sharding) -> dict[str, Any]:
        """Brings the channels in `out` in line with the source; the manifest."""

    def hyperparameters(self, manifest: Mapping[str, Any]) -> dict[str, str]:
        """What a program has to be told of a prepared folder."""


DATASETS: Mapping[str, Dataset] = {"cifar10": cifar10, "cub200": cub200}


def default_form(dataset: Dataset) -> Form:
    """The form that a data set has where nobody asks for another."""
    return next(iter(dataset.FORMS.values()))
