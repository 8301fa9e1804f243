"""Photographs of CUB-200-2011 itself, where there are any."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent of CUB_200_2011: REAL_DATA, or unpacked from the folder `shared` beside the project."""
    given = Path(os.environ.get("REAL_DATA") or ROOT.parent / "shared" / "data")
    if (given / "CUB_200_2011").is_dir():
        return given
    if not (given / "unpack.py").exists():
        pytest.skip(f"no real photographs: {given} has neither CUB_200_2011 nor unpack.py; REAL_DATA=DIR names another")
    folder = tmp_path_factory.mktemp("real-birds")
    subprocess.run([sys.executable, given / "unpack.py", "cub200", folder], check=True, timeout=300)
    return folder
