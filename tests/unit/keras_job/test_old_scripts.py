"""The document on old Keras scripts quotes errors that are really given, under the Keras that it says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.keras_job.old_scripts import LINES

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[3]
ABSENT = "No module named 'sklearn'"
"""Not the framework's: told from what the image installs."""


def rows() -> dict[str, dict[str, bool]]:
    """Of the table: the quoting cell, and whether each Keras gives the error."""
    text = (ROOT / "docs" / "keras_scripts.md").read_text().partition("## What still needs an edit")[2]
    cells = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in text.splitlines() if re.match(r"\| (?!error)\S", line)]
    return {
        quoted: {"keras": new.startswith("yes"), "tf-keras": old.startswith("yes")} for quoted, new, old, _ in cells
    }


@pytest.fixture(scope="module", params=["keras", "tf-keras"])
def heard(request, tmp_path_factory) -> tuple[str, dict[str, list[str | None]]]:
    """A Keras by its name, and what every line said under it."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TF_USE_LEGACY_KERAS": "1" if request.param == "tf-keras" else "0",
    }
    command = [sys.executable, "-m", "tests.unit.keras_job.old_scripts", str(tmp_path_factory.mktemp(request.param))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("text", LINES)
def test_error_is_given_under_the_keras_that_the_document_says(heard, text):
    name, lines = heard
    (expected,) = [gives[name] for quoted, gives in rows().items() if text in quoted]
    old, edited = (said and said.replace("`", "") for said in lines[text])
    given = text.partition("...")[0]
    assert (given in old) == expected, old
    if expected and edited is not None:
        error, _, warned = edited.partition("\n")
        assert (error, given in warned) == ("", False)


def test_every_row_of_the_table_is_tried():
    untried = [quoted for quoted in rows() if not any(text in quoted for text in (*LINES, ABSENT))]
    assert untried == []
    assert len(rows()) >= 16


def test_image_lacks_the_module_that_the_document_says_it_lacks():
    assert any(ABSENT in quoted and all(gives.values()) for quoted, gives in rows().items())
    assert not re.search(r"^scikit-learn==", (ROOT / "containers/keras/requirements.lock").read_text(), re.MULTILINE)
