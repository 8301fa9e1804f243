"""How notebooks are stored: without what came of them, and so that a diff shows what was changed."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text())["cells"]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]


def test_every_notebook_is_run_by_a_verb():
    listed = re.search(r"^NOTEBOOKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed
    assert sorted(listed[1].split()) == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs_and_with_cell_ids_that_say_something(path: Path):
    stored = [cell for cell in cells(path) if cell["cell_type"] == "code"]

    assert [(cell["outputs"], cell["execution_count"]) for cell in stored] == [([], None)] * len(stored)
    ids = [cell["id"] for cell in cells(path)]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if not re.fullmatch(r"[a-z]+(-text)?", name)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_cell_decides_where_it_runs_and_the_last_cells_take_away_what_was_made(path: Path):
    first, *_, listing, deleting = code(path)

    assert first.startswith('WHERE = "local"')
    assert "workshop.begin(WHERE" in first
    assert listing.startswith("found = workshop.made(place)")
    assert deleting == "workshop.clean(place, found)"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_shown_copy_is_of_the_notebook_as_it_is_and_of_drawn_samples(path: Path):
    shown = (ROOT / "docs" / "notebooks" / f"{path.stem}.md").read_text()

    assert [source for source in code(path) if source.strip() not in shown] == []
    assert '"--sample"' in shown
    pictures = re.findall(r"!\[\w+\]\(([^)]+)\)", shown)
    assert pictures
    files = [ROOT / "docs" / "notebooks" / name for name in pictures]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert not re.search(r"/(home|root|tmp|Users)/", shown), "a path of the machine that ran it"


def test_cifar10_notebooks_are_twins_but_for_the_framework():
    keras, pytorch = (cells(ROOT / "notebooks" / f"cv_{name}_pipe.ipynb") for name in ("keras", "pytorch"))

    assert [cell["id"] for cell in keras] == [cell["id"] for cell in pytorch]
    differing = {one["id"] for one, other in zip(keras, pytorch, strict=True) if one["source"] != other["source"]}
    assert differing == {"title", "where", "train-text", "train", "tune-text", "tune", "model-text"}
