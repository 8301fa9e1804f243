"""What the tests of trainjob share: child processes that find the package, wherever this one found it."""

import os
from pathlib import Path

import pytest
import trainjob


@pytest.fixture(autouse=True)
def _children_find_trainjob(monkeypatch: pytest.MonkeyPatch) -> None:
    source = str(Path(trainjob.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH")))))
