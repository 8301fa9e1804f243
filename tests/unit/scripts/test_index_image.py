from pathlib import Path

import pytest

from scripts import index_image

URI = "localhost:5000/vision-training-pytorch:0.1.0-abc"


@pytest.fixture
def soci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A soci that writes down what it was called with."""
    program, called = tmp_path / "soci", tmp_path / "called"
    program.write_text(f'#!/bin/sh\necho "$*" >> {called}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return called


def test_machine_without_soci_is_told_so_and_not_left_guessing(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")

    assert index_image.main(["pytorch", "--image", URI]) == 2
    assert "no 'soci' on PATH" in capsys.readouterr().err


def test_index_is_made_and_pushed_beside_the_image(soci: Path):
    assert index_image.main(["pytorch", "--image", URI]) == 0
    assert soci.read_text().splitlines() == [f"--namespace moby create {URI}", f"--namespace moby push {URI}"]


@pytest.mark.parametrize("uri", ["", "vision-training-pytorch:dev", "localhost:5000/vision-training-keras:1"])
def test_image_that_lies_in_no_registry_is_refused_by_name(soci: Path, uri: str, capsys):
    assert index_image.main(["pytorch", "--image", uri]) == 2
    assert f"IMAGE_URI='{uri}'" in capsys.readouterr().err
    assert not soci.exists()
