import hashlib
from pathlib import Path

import numpy as np
from trainjob.cifar10 import CLASSES, META_FILE, RECORD_BYTES, TEST_FILES, TRAIN_FILES

from scripts.datasets import drawing


def test_drawing_gives_the_same_bytes_on_every_machine():
    # Another sum means other pictures: raise drawing.VERSION, so that prepared samples are drawn anew.
    assert drawing.VERSION == 1
    assert hashlib.sha256(drawing.draw(1000, 0).tobytes()).hexdigest() == SUM


def test_drawing_holds_every_class_equally_often():
    labels = drawing.draw(1000, 3)[:, 0]

    assert np.bincount(labels).tolist() == [100] * len(CLASSES)


def test_training_and_test_images_differ():
    assert not (drawing.draw(100, 0)[:, 1:] == drawing.draw(100, 1)[:, 1:]).all(axis=1).any()


def test_files_have_the_published_names_and_whole_records(tmp_path: Path):
    drawing.write(tmp_path / "drawn")

    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {*TRAIN_FILES, *TEST_FILES, META_FILE}
    assert (tmp_path / "drawn" / TRAIN_FILES[0]).stat().st_size == 2000 * RECORD_BYTES


def test_classes_can_be_told_apart_by_their_mean_edges():
    """A weak classifier, nearest mean of row and column differences, does far better than chance."""
    train, test = drawing.draw(3000, 0), drawing.draw(1000, 1)
    means = np.stack([_edges(train[train[:, 0] == label]).mean(axis=0) for label in range(len(CLASSES))])

    distances = ((_edges(test)[:, None] - means[None]) ** 2).sum(axis=2)

    assert (distances.argmin(axis=1) == test[:, 0]).mean() > 0.25


def _edges(records: np.ndarray) -> np.ndarray:
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).astype(float).mean(axis=1)
    across, down = abs(np.diff(pixels, axis=1)), abs(np.diff(pixels, axis=2))
    return np.concatenate([across.mean(axis=2), down.mean(axis=1)], axis=1)


SUM = "522cf2fe03a765f61abecfe5c8ef97911c2354bc673596f94357f67167c6e46c"
