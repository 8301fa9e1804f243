"""DALI inside each image, as the unit tests ask it: their own file, run there."""

import os
import re
from pathlib import Path

import pytest

from scripts.environments import project
from scripts.environments.environment import ROOT
from tests.containers import RunContainer

TESTS = "tests/unit/trainjob/photographs/test_dali_pipelines.py"
SECONDS = 900.0
"""A minute on an idle machine, a quarter of it to import."""


@pytest.mark.parametrize("framework", ["pytorch", "keras"])
def test_dali_passes_its_unit_tests_inside_the_image(
    request: pytest.FixtureRequest, run_container: RunContainer, framework: str
) -> None:
    image = request.getfixturevalue(f"{framework}_image")
    real = Path(os.environ.get("REAL_DATA") or ROOT.parent / "shared" / "data").resolve()
    bound = {
        str(ROOT): "/project",
        str(project.make_pytest()): "/pytest",
        **({str(real): "/real"} if real.is_dir() else {}),
    }
    ended = run_container(
        image,
        ["python", "-m", "pytest", "-p", "no:cacheprovider", "-s", TESTS],
        seconds=SECONDS,
        volumes={place: {"bind": target, "mode": "ro"} for place, target in bound.items()},
        environment={"PYTHONPATH": "/pytest", "PYTHONDONTWRITEBYTECODE": "1", "REAL_DATA": "/real"},
        working_dir="/project",
    )
    assert ended.exit_code == 0, ended.output
    skipped = re.findall(r"^SKIPPED .*", ended.output, re.MULTILINE)
    assert all("no real photographs" in line for line in skipped), skipped
    assert re.search(r"\b\d\d+ passed", ended.output), ended.output
    print(re.findall(r"\w+: \d+ MiB above its imports", ended.output))
