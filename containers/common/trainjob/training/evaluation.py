"""What a model makes of a channel of photographs: counted batch by batch, then left as numbers and pictures."""

import csv
import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainjob.training import pictures
from trainjob.training.ranks import Ranks

BEST = 5
"""An answer counts as near where the truth is among so many of the likeliest classes."""
SHOWN = 24
"""Mistakes on the contact sheet."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """A photograph that was taken for another class."""

    loss: float
    key: str = field(compare=False)
    label: int = field(compare=False)
    answer: int = field(compare=False)
    image: NDArray[np.uint8] = field(compare=False)
    """As it was shown, `(height, width, 3)`."""


class Evaluation:
    """Loss, accuracies, confusion matrix and the worst mistakes over the batches it was given."""

    def __init__(self, classes: int, mistakes: int = 0) -> None:
        """Keep so many of the worst `mistakes`, with their pixels."""
        self.confusion = np.zeros((classes, classes), np.int64)
        """Row the true class, column the answer."""
        self._loss_sum, self._near = 0.0, 0
        self._folders: dict[int, str] = {}
        self._wanted = mistakes
        self._worst: list[tuple[Mistake, int]] = []

    def add(
        self,
        logits: NDArray[np.float32],
        labels: NDArray[np.int64],
        keys: Sequence[str],
        images: NDArray[np.uint8] | None = None,
    ) -> None:
        """Count a batch.

        Args:
            logits: `(n, classes)`.
            labels: `(n,)`.
            keys: What each photograph is called.
            images: `(n, height, width, 3)`, as they were shown; only where mistakes are kept.
        """
        for label, key in zip(labels.tolist(), keys, strict=True):
            self._folders.setdefault(label, key.rpartition("/")[0])
        exact = logits.astype(np.float64)
        top = exact.max(1, keepdims=True)
        losses = np.log(np.exp(exact - top).sum(1)) + top[:, 0] - exact[np.arange(len(labels)), labels]
        answers = exact.argmax(1)
        np.add.at(self.confusion, (labels, answers), 1)
        self._loss_sum += float(losses.sum())
        best = min(BEST, logits.shape[1])
        self._near += int((np.argpartition(-exact, best - 1, 1)[:, :best] == labels[:, None]).any(1).sum())
        if self._wanted and images is not None:
            for index in np.flatnonzero(answers != labels).tolist():
                self._keep(float(losses[index]), keys[index], int(labels[index]), int(answers[index]), images[index])

    def add_up(self, ranks: Ranks, *, stopped: bool) -> None:
        """Take in what the other ranks have counted, but for their worst mistakes.

        Raises:
            StopRequested: A rank was stopped before it had counted all; raised on all of them.
        """
        sums = ranks.total([self._loss_sum, self._near, *self.confusion.ravel()], stopped=stopped)
        self._loss_sum, self._near = float(sums[0]), int(sums[1])
        self.confusion = sums[2:].reshape(self.confusion.shape).astype(np.int64)
        for told in ranks.gather(json.dumps(self._folders).encode()):
            for label, folder in json.loads(told).items():
                self._folders.setdefault(int(label), folder)

    @property
    def count(self) -> int:
        """Photographs counted."""
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        return self._loss_sum / max(1, self.count)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.confusion.trace()) / max(1, self.count)

    @property
    def top5_accuracy(self) -> float:
        """Share of photographs whose class is among the five likeliest."""
        return self._near / max(1, self.count)

    @property
    def mistakes(self) -> list[Mistake]:
        """The worst, by loss."""
        return [mistake for mistake, _ in sorted(self._worst, reverse=True)]

    def names(self) -> list[str]:
        """A name for each class: the folder that its photographs lie in, where one was seen, else its number."""
        return [self._folders.get(label) or f"class {label}" for label in range(len(self.confusion))]

    def metrics(self, prefix: str) -> dict[str, float]:
        """The numbers, as a metrics line has them."""
        return {
            f"{prefix}:loss": self.loss,
            f"{prefix}:accuracy": self.accuracy,
            f"{prefix}:top5_accuracy": self.top5_accuracy,
        }

    def _keep(self, loss: float, key: str, label: int, answer: int, image: NDArray[np.uint8]) -> None:
        if len(self._worst) < self._wanted:
            heapq.heappush(self._worst, (Mistake(loss, key, label, answer, image.copy()), len(self._worst)))
        elif loss > self._worst[0][0].loss:
            place = self._worst[0][1]
            heapq.heapreplace(self._worst, (Mistake(loss, key, label, answer, image.copy()), place))


def save(folder: Path, title: str, evaluation: Evaluation, labels: Sequence[str], split: str) -> None:
    """Write `evaluation.json`, `per-class.csv`, `confusion-matrix.png` and `worst-mistakes.png` to a folder.

    Args:
        folder: Made if it is not there.
        title: Of the pictures.
        evaluation: What to write.
        labels: Name of each class.
        split: What was evaluated: the channel's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = {"split": split, "photographs": evaluation.count, **evaluation.metrics(split)}
    (folder / "evaluation.json").write_text(json.dumps(told, indent=2) + "\n")
    with (folder / "per-class.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "name", "photographs", "accuracy", "most often taken for"])
        for label, (name, row) in enumerate(zip(labels, evaluation.confusion, strict=True)):
            if row.sum():
                others = row.copy()
                others[label] = 0
                taken = labels[int(others.argmax())] if others.any() else ""
                writer.writerow([label, name, row.sum(), f"{row[label] / row.sum():.4f}", taken])
    seen = np.flatnonzero(evaluation.confusion.sum(0) + evaluation.confusion.sum(1)).tolist()
    counts = evaluation.confusion[np.ix_(seen, seen)].tolist()
    described = f"{title}, {split}: {evaluation.accuracy:.1%} of {evaluation.count:,}"
    pictures.confusion_matrix(folder / "confusion-matrix.png", described, counts, [labels[label] for label in seen])
    captions = [
        f"{short(labels[mistake.label])}\ntaken for {short(labels[mistake.answer])}" for mistake in evaluation.mistakes
    ]
    images = [mistake.image for mistake in evaluation.mistakes]
    pictures.contact_sheet(folder / "worst-mistakes.png", f"Worst mistakes: {described}", images, captions)


def short(name: str) -> str:
    """A class's name without its number, `001.Black_footed_Albatross` as `Black footed Albatross`."""
    head, _, tail = name.partition(".")
    return (tail if tail and head.isdigit() else name).replace("_", " ")
