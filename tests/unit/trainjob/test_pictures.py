"""Pictures are real PNGs, and a missing library does not cost a job its end."""

import builtins
import os
import subprocess
import sys

from trainjob import pictures

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
        "import logging, pathlib; logging.basicConfig(level=logging.INFO); from trainjob import pictures; "
        f"assert pictures.learning_curve(pathlib.Path('curve.png'), 'title', {ROWS})"
    )
    environ = os.environ | {"MPLCONFIGDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, check=False, cwd=tmp_path, env=environ, capture_output=True, text=True)

    assert (run.returncode, run.stderr) == (0, "")


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
