from dataclasses import replace
from pathlib import Path

import pytest

from scripts.images import sizes
from scripts.images.entry import Budget, ImageError, read_image
from scripts.images.layers import Layer

IMAGE = replace(read_image("pytorch"), budget=Budget(limit=7_000_000_000, goal=6_000_000_000))
LAYERS = [
    Layer(digest="sha256:aa", step="/bin/sh -c #(nop) ADD file", unpacked=100_000_000, compressed=40_000_000),
    Layer(digest="sha256:bb", step="COPY /opt/venv /opt/venv " + "x" * 100, unpacked=6_400_000_000, compressed=10**9),
]
NONE = sizes.Release(tag="", totals={})


def test_table_has_a_line_for_each_layer_their_sum_and_the_budget():
    lines = list(sizes.table(IMAGE, LAYERS, NONE))

    assert [line.split()[:2] for line in lines[1:4]] == [
        ["100.0", "40.0"],
        ["6,400.0", "1,000.0"],
        ["6,500.0", "1,040.0"],
    ]
    assert "limit; the goal is 6,000.0" in lines[4]
    assert max(map(len, lines)) <= 100


def test_table_tells_the_difference_to_the_last_release():
    last = NONE.noting("0.1.0-abc", "pytorch", sizes.Total(unpacked=6_600_000_000, compressed=10**9))

    line = list(sizes.table(IMAGE, LAYERS, last))[-1]

    assert line.split() == ["-100.0", "+40.0", "against", "0.1.0-abc"]


def test_image_over_its_limit_is_told_by_its_size_and_fails_as_a_test():
    heavy = [*LAYERS, replace(LAYERS[0], digest="sha256:cc", unpacked=600_000_000)]

    assert sizes.over(IMAGE, sizes.total(LAYERS)) == ""
    assert sizes.cases(IMAGE, LAYERS)[0].problem == ""
    assert "7,100.0 MB unpacked, over its 7,000.0 MB" in sizes.over(IMAGE, sizes.total(heavy))
    assert "7,100.0" in sizes.cases(IMAGE, heavy)[0].problem


def test_what_was_measured_is_remembered_for_just_these_layers(tmp_path: Path):
    sizes.remember(tmp_path, LAYERS)

    assert sizes.remembered(tmp_path, ["sha256:aa", "sha256:bb"]) == LAYERS
    assert sizes.remembered(tmp_path, ["sha256:bb", "sha256:aa"]) is None


def test_release_comes_back_as_it_was_written_and_a_new_tag_begins_anew(tmp_path: Path):
    total = sizes.Total(unpacked=2, compressed=1)
    first = NONE.noting("1", "pytorch", total).noting("1", "keras", total)
    first.write(tmp_path / "release.json")

    assert sizes.Release.read(tmp_path / "release.json") == first
    assert first.noting("2", "keras", total).totals == {"keras": total}


def test_budget_refuses_a_goal_above_its_limit():
    with pytest.raises(ImageError, match="goal=3, limit=2"):
        Budget(limit=2, goal=3)
