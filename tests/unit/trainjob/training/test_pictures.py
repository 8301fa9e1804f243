"""Pictures are real PNGs, and a missing library does not cost a job its end."""

import builtins
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from trainjob.training import pictures

ROWS = [
    {
        "epoch": n,
        "train:loss": 2 / n,
        "validation:loss": 2.1 / n,
        "train:accuracy": n / 9,
        "validation:accuracy": n / 10,
    }
    for n in (1, 2, 3)
]


def test_learning_curve_is_a_png(tmp_path):
    assert pictures.learning_curve(tmp_path / "curve.png", "title", ROWS)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_matplotlib_tells_nothing_of_its_font_cache(tmp_path):
    program = (
        "import logging, pathlib; logging.basicConfig(level=logging.INFO); from trainjob.training import pictures; "
        f"assert pictures.learning_curve(pathlib.Path('curve.png'), 'title', {ROWS})"
    )
    environ = os.environ | {"MPLCONFIGDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, check=False, cwd=tmp_path, env=environ, capture_output=True, text=True)

    assert (run.returncode, run.stderr) == (0, "")


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn, to be measured."""
    drawn, real = [], pictures._figure
    monkeypatch.setattr(pictures, "_figure", lambda *size: drawn.append(real(*size)) or drawn[-1])
    return drawn


def boxes(artists):
    """Left, bottom, right and top of each, pixels."""
    return [artist.get_window_extent().extents for artist in artists]


def overlaps(one, other) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("count", [1, 6, 7, 24])
def test_captions_of_a_contact_sheet_overlap_neither_pictures_nor_each_other(tmp_path, figures, count):
    caption = "Black throated Blue Warbler\ntaken for American Three toed Woodpecker of a second year"
    images = [np.full((48, 48, 3), index, np.uint8) for index in range(count)]
    assert pictures.contact_sheet(tmp_path / "sheet.png", "Worst mistakes: net", images, [caption] * count)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    shown = [axes for axes in figures[0].axes if axes.images]
    assert [axes.images[0].get_array()[0, 0, 0] for axes in shown] == list(range(count))
    assert [axes.get_title().replace("\n", " ") for axes in shown] == [caption.replace("\n", " ")] * count
    figures[0].draw_without_rendering()
    texts = boxes([axes.title for axes in shown])
    rest = [*boxes([axes.images[0] for axes in shown]), *boxes(figures[0].texts)]
    assert not any(overlaps(text, other) for text in texts for other in rest)
    assert not any(overlaps(*pair) for pair in itertools.combinations(texts, 2))
    assert min(text[1] for text in texts) >= 0, "the last row's are whole"


def test_contact_sheet_without_a_picture_is_a_png(tmp_path):
    assert pictures.contact_sheet(tmp_path / "sheet.png", "title", [], [])
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("classes", "named", "counted"), [(2, 2, 4), (20, 20, 400), (21, 21, 0), (200, 100, 0)])
def test_confusion_matrix_has_names_and_counts_as_far_as_they_can_be_read(tmp_path, figures, classes, named, counted):
    counts = [[5 if true == predicted else 1 for predicted in range(classes)] for true in range(classes)]
    labels = [f"{number:03d}.Some_Bird" for number in range(classes)]
    assert pictures.confusion_matrix(tmp_path / "matrix.png", "title", counts, labels)
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = figures[0].axes
    assert axes.images[0].get_array()[1].tolist() == pytest.approx([each / sum(counts[1]) for each in counts[1]])
    assert len(axes.texts) == counted
    told = [label.get_text() for label in axes.get_yticklabels()]
    assert told == labels[:: -(-classes // 100)]
    assert len(told) == named
    figures[0].draw_without_rendering()
    sides = boxes(axes.get_yticklabels())
    assert not any(overlaps(*pair) for pair in itertools.pairwise(sides))


def test_class_without_a_photograph_leaves_an_empty_row(tmp_path, figures):
    assert pictures.confusion_matrix(tmp_path / "matrix.png", "title", [[3, 1], [0, 0]], ["a", "b"])
    assert figures[0].axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]


def test_learning_curve_without_matplotlib_warns_and_goes_on(tmp_path, monkeypatch, caplog):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert not pictures.learning_curve(tmp_path / "curve.png", "title", ROWS)
    assert "pip install matplotlib" in caplog.text
    assert not (tmp_path / "curve.png").exists()
