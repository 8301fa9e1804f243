"""Fixtures of the tests of data sets, and of what runs jobs on them."""

import shutil
from pathlib import Path

import pytest

from scripts.datasets import birds


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CUB-200's published layout, with ten drawn photographs of each of ten species; not to be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "CUB_200_2011"
    birds.write(folder, photographs=10)
    return folder


@pytest.fixture
def own_birds(drawn: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(drawn, tmp_path / "published" / "CUB_200_2011")
