"""What is in a photograph's file: bad ones named, large ones made smaller, boxes with them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trainjob.errors import DatasetError

from scripts.datasets import cub200, jpegs
from scripts.datasets.cub200 import Published, Treatment
from scripts.datasets.forms import JPEG
from scripts.datasets.shards import Sharding

AS_JPEG = Sharding(form=JPEG)


def entries(out: Path) -> dict[str, dict[str, object]]:
    """What the indexes say, by key, and where each photograph lies."""
    return {
        entry["key"]: {**entry, "path": out / channel / entry["key"]}
        for channel in cub200.CHANNELS
        for entry in map(json.loads, (out / channel / "index.jsonl").read_text().splitlines())
    }


def first(folder: Path) -> Path:
    return folder / "images" / "001.Scarlet_Reedling" / "Scarlet_Reedling_0001.jpg"


SPOILT = [
    (lambda whole: b"", r"Scarlet_Reedling_0001\.jpg is empty \(0 bytes\)"),
    (lambda whole: b"<html>not found</html>", r"Scarlet_Reedling_0001\.jpg is no JPEG that can be read \(22 bytes\)"),
    (lambda whole: whole[:100], r"Scarlet_Reedling_0001\.jpg is no JPEG that can be read \(100 bytes\)"),
    (
        lambda whole: whole[: len(whole) // 2],
        r"Scarlet_Reedling_0001\.jpg is a JPEG that cannot be decoded: .*truncated",
    ),
    (lambda whole: b"\x89PNG\r\n\x1a\n" + whole, r"Scarlet_Reedling_0001\.jpg is no JPEG that can be read"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT)
@pytest.mark.parametrize("treatment", [Treatment(), Treatment(short_side=256)], ids=["as-is", "smaller"])
def test_photograph_that_cannot_be_read_is_named(
    spoil: Callable[[bytes], bytes], said: str, treatment: Treatment, own_birds: Path, tmp_path: Path
):
    path = first(own_birds)
    path.write_bytes(spoil(path.read_bytes()))

    with pytest.raises(DatasetError, match=said):
        cub200.prepare(Published(own_birds), tmp_path / "out", AS_JPEG, treatment)

    assert not (tmp_path / "out").exists()


def test_photograph_too_large_is_refused_before_it_is_decoded(tmp_path: Path):
    small = tmp_path / "small.jpg"
    Image.new("L", (64, 64)).save(small)
    content = bytearray(small.read_bytes())
    frame = content.index(b"\xff\xc0") + 5
    content[frame : frame + 4] = b"\xff\xdc\xff\xdc"  # the header's word on height and width
    (tmp_path / "bomb.jpg").write_bytes(content)

    with pytest.raises(DatasetError, match=r"bomb\.jpg has 65,500 x 65,500 pixels; at most 100,000,000 are taken"):
        jpegs.look(tmp_path / "bomb.jpg")


def test_larger_photographs_are_brought_to_the_short_side_and_their_boxes_along(drawn: Path, tmp_path: Path):
    cub200.prepare(Published(drawn), tmp_path / "as-is", AS_JPEG)
    cub200.prepare(Published(drawn), tmp_path / "out", AS_JPEG, Treatment(short_side=256))

    smaller, before = entries(tmp_path / "out"), entries(tmp_path / "as-is")
    assert list(smaller) == list(before)
    changed = 0
    for key, entry in smaller.items():
        with Image.open(entry["path"]) as image, Image.open(before[key]["path"]) as whole:
            if min(whole.size) <= 256:
                assert entry["path"].samefile(before[key]["path"]), "one that is small enough is left as it is"
                assert entry["box"] == before[key]["box"]
                continue
            changed += 1
            scale = 256 / min(whole.size)
            assert min(image.size) == 256
            assert max(image.size) == round(max(whole.size) * scale)
            assert entry["box"] == pytest.approx([value * scale for value in before[key]["box"]], abs=1.01)
    assert 20 < changed < 100


def test_photograph_is_made_smaller_at_quality_90_and_looks_the_same(drawn: Path, tmp_path: Path):
    path = first(drawn).with_name("Scarlet_Reedling_0009.jpg")
    with Image.open(path) as image:
        side = min(image.size) - 20
        size = tuple(round(length * side / min(image.size)) for length in image.size)
        wanted = image.resize(size, Image.Resampling.LANCZOS)

    jpegs.shrink(path, side, tmp_path / "new" / "small.jpg")

    wanted.save(tmp_path / "90.jpg", quality=90)
    with Image.open(tmp_path / "new" / "small.jpg") as image, Image.open(tmp_path / "90.jpg") as reference:
        assert image.quantization == reference.quantization
        assert np.abs(np.asarray(image).astype(int) - np.asarray(wanted)).mean() < 3


def test_gray_photograph_stays_gray_and_one_of_inks_becomes_one_of_lights(tmp_path: Path):
    for mode in ("L", "CMYK"):
        Image.new("RGB", (400, 300), (200, 40, 40)).convert(mode).save(tmp_path / f"{mode}.jpg")
        jpegs.shrink(tmp_path / f"{mode}.jpg", 256, tmp_path / f"small-{mode}.jpg")

    with Image.open(tmp_path / "small-L.jpg") as gray, Image.open(tmp_path / "small-CMYK.jpg") as lights:
        assert (gray.mode, lights.mode) == ("L", "RGB")
        assert np.abs(np.asarray(lights).astype(int) - (200, 40, 40)).max() <= 4


def test_box_ends_where_its_photograph_does(own_birds: Path, tmp_path: Path):
    with Image.open(first(own_birds)) as image:
        width, height = image.size
    lines = (own_birds / "bounding_boxes.txt").read_text().splitlines()[1:]
    (own_birds / "bounding_boxes.txt").write_text("\n".join([f"1 10.4 20.6 {width}.0 {height}.0", *lines]))

    cub200.prepare(Published(own_birds), tmp_path / "out", AS_JPEG)

    (entry,) = (entry for key, entry in entries(tmp_path / "out").items() if key.endswith("Reedling_0001.jpg"))
    assert entry["box"] == [10, 21, width - 10, height - 21]


def test_box_beside_its_photograph_is_named(own_birds: Path, tmp_path: Path):
    lines = (own_birds / "bounding_boxes.txt").read_text().splitlines()[1:]
    (own_birds / "bounding_boxes.txt").write_text("\n".join(["1 900.0 3.0 5.0 5.0", *lines]))

    said = (
        r"bounding_boxes\.txt gives 001\.Scarlet_Reedling/Scarlet_Reedling_0001\.jpg a box from 900, 3 on, but it has"
    )
    with pytest.raises(DatasetError, match=said):
        cub200.prepare(Published(own_birds), tmp_path / "out", AS_JPEG)
