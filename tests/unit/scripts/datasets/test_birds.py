from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trainjob import cub200

from scripts.datasets import birds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "CUB_200_2011"
    birds.write(folder, photographs=20)
    return folder


def test_two_drawings_are_the_same_to_the_byte(folder: Path, tmp_path: Path):
    birds.write(tmp_path / "again", photographs=20)

    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 200 + len(cub200.FILES)
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)


def test_photographs_are_of_many_sizes_and_each_bird_is_in_its_box(folder: Path):
    read = cub200.read(folder)

    sizes = set()
    for photograph in read.photographs:
        with Image.open(read.path(photograph)) as image:
            sizes.add(image.size)
            left, top, width, height = photograph.box
            assert birds.SHORTEST <= min(image.size) <= max(image.size) <= birds.LONGEST
            assert left + width <= image.width
            assert top + height <= image.height
            assert width * height > 0.03 * image.width * image.height
    assert len(sizes) > 150


def test_one_photograph_for_training_is_gray_and_one_is_of_inks(folder: Path, tmp_path: Path):
    birds.write(tmp_path / "whole")
    read = cub200.read(tmp_path / "whole")

    modes = {}
    for photograph in read.photographs:
        with Image.open(read.path(photograph)) as image:
            modes.setdefault(image.mode, []).append(photograph)
    assert {mode: len(found) for mode, found in modes.items()} == {"RGB": 598, "L": 1, "CMYK": 1}
    assert modes["L"][0].train
    assert modes["CMYK"][0].train


def test_species_can_be_told_apart_by_what_they_look_like(folder: Path):
    read = cub200.read(folder)
    pixels, labels, train = [], [], []
    for photograph in read.photographs:
        left, top, width, height = photograph.box
        with Image.open(read.path(photograph)) as image:
            bird = image.convert("RGB").crop((left, top, left + width, top + height)).resize((4, 4))
        pixels.append(np.asarray(bird).astype(float).ravel())
        labels.append(photograph.label)
        train.append(photograph.train)
    points, classes, known = np.array(pixels), np.array(labels), np.array(train)

    # The nearest neighbour, which knows nothing of birds: far above chance, and not so good that nothing is to learn.
    distances = np.linalg.norm(points[~known][:, None] - points[known][None], axis=2)
    found = classes[known][distances.argmin(axis=1)]

    assert 0.4 < (found == classes[~known]).mean() < 1
