"""How large an image is: by layer, against its budget, and against the last release."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.images.entry import ROOT, Image, ImageError
from scripts.images.junit import Case
from scripts.images.layers import Layer

LAST_RELEASE = ROOT / "last_release.json"
STEP_WIDTH = 68


@dataclass(frozen=True, kw_only=True)
class Total:
    """An image's size."""

    unpacked: int
    """Bytes of all files of all layers, which is what `docker images` shows."""
    compressed: int
    """Bytes to download."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What was released last, by framework; empty before the first release."""

    tag: str
    totals: dict[str, Total]

    @classmethod
    def read(cls, path: Path = LAST_RELEASE) -> "Release":
        """The one that is committed."""
        noted = json.loads(path.read_text())
        return cls(tag=noted["tag"], totals={name: Total(**total) for name, total in noted["images"].items()})

    def noting(self, tag: str, framework: str, total: Total) -> "Release":
        """This release with one more image, or the next one with its first."""
        others = self.totals if tag == self.tag else {}
        return Release(tag=tag, totals={**others, framework: total})

    def write(self, path: Path = LAST_RELEASE) -> None:
        """To be committed."""
        images = {name: asdict(total) for name, total in sorted(self.totals.items())}
        path.write_text(json.dumps({"tag": self.tag, "images": images}, indent=2) + "\n")


def total(layers: Sequence[Layer]) -> Total:
    """The size of an image of these layers."""
    return Total(unpacked=sum(layer.unpacked for layer in layers), compressed=sum(layer.compressed for layer in layers))


def table(image: Image, layers: Sequence[Layer], release: Release) -> Iterator[str]:
    """Lines for a person: each layer that has anything in it, the sum, the budget, the last release."""
    yield f"{'unpacked MB':>12} {'compressed MB':>14}  layer"
    for layer in layers:
        yield f"{_megabytes(layer.unpacked):>12} {_megabytes(layer.compressed):>14}  {_step(layer.step)}"
    whole, budget = total(layers), image.budget
    yield f"{_megabytes(whole.unpacked):>12} {_megabytes(whole.compressed):>14}  {image.repository}"
    yield f"{_megabytes(budget.limit):>12} {'':>14}  limit; the goal is {_megabytes(budget.goal)}"
    last = release.totals.get(image.framework)
    if last is None:
        yield f"{'':>12} {'':>14}  no release before this one"
    else:
        unpacked, compressed = whole.unpacked - last.unpacked, whole.compressed - last.compressed
        yield f"{_megabytes(unpacked, '+'):>12} {_megabytes(compressed, '+'):>14}  against {release.tag}"


def cases(image: Image, layers: Sequence[Layer]) -> list[Case]:
    """The same as a test's result."""
    whole = total(layers)
    said = "\n".join(table(image, layers, Release(tag="", totals={})))
    return [Case(name=f"{image.framework} image is within its size unpacked", problem=over(image, whole), said=said)]


def over(image: Image, whole: Total) -> str:
    """Why an image is too large; empty where it is not."""
    if whole.unpacked <= image.budget.limit:
        return ""
    limit, seen = _megabytes(image.budget.limit), _megabytes(whole.unpacked)
    return f"{image.repository} has {seen} MB unpacked, over its {limit} MB in images.json; take something off"


def remembered(folder: Path, digests: Sequence[str]) -> list[Layer] | None:
    """What was measured of just these layers before; a layer's digest is its content's."""
    path = folder / f"{_key(digests)}.json"
    if not path.exists():
        return None
    return [Layer(**layer) for layer in json.loads(path.read_text())]


def remember(folder: Path, layers: Sequence[Layer]) -> None:
    """For `remembered`: to compress seven gigabytes takes minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_key([layer.digest for layer in layers])}.json"
    path.write_text(json.dumps([asdict(layer) for layer in layers]))


def _key(digests: Sequence[str]) -> str:
    if not digests:
        raise ImageError("An image without layers cannot be measured; build it anew")
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]


def _megabytes(size: int, sign: str = "") -> str:
    return f"{size / 1e6:{sign},.1f}"


def _step(created_by: str) -> str:
    words = " ".join(created_by.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").split())
    return words if len(words) <= STEP_WIDTH else f"{words[: STEP_WIDTH - 3]}..."
