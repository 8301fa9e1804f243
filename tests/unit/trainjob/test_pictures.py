"""Pictures are real PNGs, and a missing library does not cost a job its end."""

import builtins

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
