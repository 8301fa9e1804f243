import io
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts import report_image
from scripts.images.entry import ImageError
from tests.unit.scripts.images.saved import saved

LAYERS = [{"a": bytes(1000)}, {"b": bytes(2000)}]


class Engine:
    """Stands in for the engine: one image, and how often it was asked for it all."""

    def __init__(self) -> None:
        self.asked = 0

    def check_engine(self) -> None:
        pass

    def built(self, name: str, framework: str) -> dict[str, object]:
        if framework != "pytorch":
            raise ImageError(f"The engine has no image '{name}'; run 'make build/{framework}'")
        return {"RootFS": {"Layers": [layer.digest for layer in report_image.Archive(saved(LAYERS)).layers]}}

    @contextmanager
    def saved(self, name: str):
        self.asked += 1
        yield io.BytesIO(saved(LAYERS).getvalue())


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    found = Engine()
    monkeypatch.setattr(report_image, "engine", found)
    monkeypatch.setattr(report_image.measure, "__defaults__", (tmp_path / "measured",))
    return found


def test_report_is_printed_and_written_and_measured_once(engine: Engine, tmp_path: Path, capsys):
    for _ in range(2):
        assert report_image.main(["pytorch", "--reports", str(tmp_path)]) == 0

    assert engine.asked == 1
    assert "vision-training-pytorch" in capsys.readouterr().out
    assert ET.parse(tmp_path / "junit" / "size-pytorch.xml").getroot().attrib["failures"] == "0"


def test_image_over_its_budget_ends_with_one_and_a_failed_report(
    engine: Engine, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(report_image.sizes, "over", lambda image, whole: f"{whole.unpacked} bytes are too many")

    assert report_image.main(["pytorch", "--reports", str(tmp_path)]) == 1
    assert ET.parse(tmp_path / "junit" / "size-pytorch.xml").getroot().attrib["failures"] == "1"
    assert "3000 bytes are too many" in capsys.readouterr().err


def test_image_that_is_not_built_ends_with_two_and_what_to_type(engine: Engine, tmp_path: Path, capsys):
    assert report_image.main(["keras", "--reports", str(tmp_path)]) == 2
    assert "run 'make build/keras'" in capsys.readouterr().err
