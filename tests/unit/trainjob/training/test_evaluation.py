"""What a model makes of a channel: its numbers against plain numpy and a look at every answer, and what is left."""

import csv
import json

import numpy as np
import pytest
from trainjob.training import evaluation, pictures
from trainjob.training.evaluation import Evaluation

CLASSES = 7


def drawn(count: int, classes: int = CLASSES, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Logits, labels, keys and images of so many photographs; each image is of one colour, its own number."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = (random.normal(size=(count, classes)) * 3).astype(np.float32)
    logits[np.arange(count), labels] += 2
    keys = [f"{label + 1:03d}.Some_bird_{label}/photo_{index}.jpg" for index, label in enumerate(labels.tolist())]
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 4, 4, 3)).copy()
    return logits, labels, keys, images


def evaluated(count: int, batch: int, classes: int = CLASSES, mistakes: int = 0) -> Evaluation:
    logits, labels, keys, images = drawn(count, classes)
    result = Evaluation(classes, mistakes)
    for first in range(0, count, batch):
        part = slice(first, first + batch)
        result.add(logits[part], labels[part], keys[part], images[part] if mistakes else None)
    return result


def losses_of(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    """Cross-entropy of each photograph by its definition."""
    return [
        -float(np.log(np.exp(row)[label] / np.exp(row).sum()))
        for row, label in zip(logits.astype(np.longdouble), labels, strict=True)
    ]


@pytest.mark.parametrize("batch", [1, 16, 100])
def test_numbers_are_those_of_a_look_at_every_answer(batch):
    logits, labels, _, _ = drawn(100)
    result = evaluated(100, batch)
    ranks = [int((row > row[label]).sum()) for row, label in zip(logits, labels, strict=True)]
    assert result.count == 100
    assert result.loss == pytest.approx(np.mean(losses_of(logits, labels)), rel=1e-12)
    assert result.accuracy == ranks.count(0) / 100
    assert result.top5_accuracy == sum(rank < 5 for rank in ranks) / 100
    assert 0 < result.accuracy < result.top5_accuracy < 1
    counted = np.zeros((CLASSES, CLASSES), int)
    for row, label in zip(logits, labels, strict=True):
        counted[label, list(row).index(max(row))] += 1
    assert np.array_equal(result.confusion, counted)


def test_logits_too_large_for_exp_give_a_finite_loss():
    result = Evaluation(3)
    result.add(np.array([[1000, 0, -1000]], np.float32), np.array([2]), ["a/b.jpg"])
    assert result.loss == 2000


@pytest.mark.parametrize("classes", [2, 4, 5])
def test_with_five_classes_or_fewer_every_answer_is_near(classes):
    result = evaluated(60, 16, classes)
    assert result.top5_accuracy == 1
    assert result.accuracy < 1


def test_without_a_photograph_all_numbers_are_none_at_all():
    result = Evaluation(CLASSES)
    assert (result.count, result.loss, result.accuracy, result.top5_accuracy) == (0, 0, 0, 0)


@pytest.mark.parametrize("batch", [1, 16, 100])
def test_worst_mistakes_are_those_of_the_largest_losses_worst_first(batch):
    logits, labels, keys, images = drawn(100)
    losses, answers = losses_of(logits, labels), logits.argmax(1)
    wrong = sorted((index for index in range(100) if answers[index] != labels[index]), key=lambda each: -losses[each])
    assert len(wrong) > 9
    found = evaluated(100, batch, mistakes=9).mistakes
    assert [each.key for each in found] == [keys[index] for index in wrong[:9]]
    for each, index in zip(found, wrong, strict=False):
        assert each.loss == pytest.approx(losses[index])
        assert (each.label, each.answer) == (labels[index], answers[index])
        assert np.array_equal(each.image, images[index])


def test_mistakes_keep_their_pixels_when_the_batch_is_used_again():
    result, image = Evaluation(2, mistakes=1), np.full((1, 4, 4, 3), 9, np.uint8)
    result.add(np.array([[1, 0]], np.float32), np.array([1]), ["a/b.jpg"], image)
    image[:] = 0
    assert (result.mistakes[0].image == 9).all()


def test_equal_losses_are_kept_side_by_side():
    result = Evaluation(2, mistakes=3)
    for index in range(5):
        result.add(np.array([[1, 0]], np.float32), np.array([1]), [f"a/{index}.jpg"], np.zeros((1, 4, 4, 3), np.uint8))
    assert len(result.mistakes) == 3


def test_classes_are_called_by_their_folders_or_their_numbers():
    result = Evaluation(3)
    keys = ["photograph 0 of Channel 'train', epoch 0", "002.Laysan_Albatross/x.jpg"]
    result.add(np.zeros((2, 3), np.float32), np.array([0, 1]), keys)
    assert result.names() == ["class 0", "002.Laysan_Albatross", "class 2"]


def test_metrics_carry_the_name_of_what_was_evaluated():
    result = evaluated(20, 20)
    assert result.metrics("test") == {
        "test:loss": result.loss,
        "test:accuracy": result.accuracy,
        "test:top5_accuracy": result.top5_accuracy,
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("class 7", "class 7"),
        ("St._Bernard", "St. Bernard"),
        ("12.", "12."),
    ],
)
def test_short_name_leaves_out_the_number_of_a_class(name, said):
    assert evaluation.short(name) == said


def test_four_files_tell_what_was_found(tmp_path):
    result = evaluated(100, 16, mistakes=5)
    evaluation.save(tmp_path / "deep/er", "resnet18 at 32 px", result, result.names(), "test")
    folder = tmp_path / "deep/er"
    assert {path.name for path in folder.iterdir()} == {
        "evaluation.json", "per-class.csv", "confusion-matrix.png", "worst-mistakes.png",
    }  # fmt: skip
    assert json.loads((folder / "evaluation.json").read_text()) == {
        "split": "test", "photographs": 100, **result.metrics("test"),
    }  # fmt: skip
    rows = list(csv.DictReader((folder / "per-class.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == result.names()
    for label, row in enumerate(rows):
        counts = result.confusion[label].tolist()
        assert (int(row["class"]), int(row["photographs"])) == (label, sum(counts))
        assert float(row["accuracy"]) == pytest.approx(counts[label] / sum(counts), abs=1e-4)
        others = [count for other, count in enumerate(counts) if other != label]
        taken = result.names().index(row["most often taken for"])
        assert taken != label
        assert counts[taken] == max(others) > 0
    for name in ("confusion-matrix.png", "worst-mistakes.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_classes_that_did_not_appear_are_left_out_of_table_and_matrix(tmp_path, monkeypatch):
    drawn_with = []
    monkeypatch.setattr(pictures, "confusion_matrix", lambda *arguments: drawn_with.append(arguments))
    result = Evaluation(4)
    result.add(np.eye(4, dtype=np.float32)[[0, 2]], np.array([0, 0]), ["a/1.jpg", "a/2.jpg"])
    evaluation.save(tmp_path, "net", result, result.names(), "validation")
    rows = list(csv.DictReader((tmp_path / "per-class.csv").read_text().splitlines()))
    assert [(row["name"], row["accuracy"], row["most often taken for"]) for row in rows] == [("a", "0.5000", "class 2")]
    (_, title, counts, labels) = drawn_with[0]
    assert title == "net, validation: 50.0% of 2"
    assert (counts, labels) == ([[1, 1], [0, 0]], ["a", "class 2"])


def test_no_mistake_at_all_still_leaves_four_files(tmp_path):
    result = Evaluation(2, mistakes=5)
    result.add(np.eye(2, dtype=np.float32), np.array([0, 1]), ["a/1.jpg", "b/1.jpg"], np.zeros((2, 4, 4, 3), np.uint8))
    evaluation.save(tmp_path, "net", result, result.names(), "test")
    rows = list(csv.DictReader((tmp_path / "per-class.csv").read_text().splitlines()))
    assert [row["most often taken for"] for row in rows] == ["", ""]
    assert len(list(tmp_path.iterdir())) == 4
