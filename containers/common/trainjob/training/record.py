"""What a training leaves beside its weights: how it went, in numbers and pictures; what the classes are called."""

import csv
import json
from collections.abc import Mapping, Sequence

from trainjob.contract import Paths
from trainjob.files import whole_file
from trainjob.training import pictures
from trainjob.training.progress import Progress


def save_history(paths: Paths, title: str, progress: Progress, labels: Sequence[str]) -> None:
    """Write every epoch's row as `history.csv`; draw them, and any confusion matrix there is."""
    paths.output_data.mkdir(parents=True, exist_ok=True)
    history = progress.history
    with (paths.output_data / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    pictures.learning_curve(paths.output_data / "learning-curve.png", title, history)
    if progress.confusion:
        pictures.confusion_matrix(paths.output_data / "confusion-matrix.png", title, progress.confusion, labels)


def describe_model(paths: Paths, labels: Sequence[str], config: Mapping[str, object]) -> None:
    """Write `labels.json` and `config.json` beside a model's weights."""
    for name, content in (("labels.json", list(labels)), ("config.json", dict(config))):
        with whole_file(paths.model / name) as file:
            file.write(json.dumps(content, indent=2).encode())
