"""A small job of photographs on disk, for the programs of any image: drawn JPEGs of two classes, in any input mode."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from trainjob import environment
from trainjob.contract import FILE, PIPE
from trainjob.environment import JobEnvironment
from trainjob.framing import recordio
from trainjob.photographs.epochs import INDEX

from tests.small_job import Job
from tests.unit.trainjob.jpegs import Image, jpeg_of

CLASSES = ("001.Red_Bird", "002.Blue_Bird")
TRAIN, VALIDATION = 22, 6
BATCH = 8
STEPS = 3
"""Of an epoch; the last batch has 6 photographs."""

Labelled = dict[str, tuple[bytes, int]]
"""JPEG and label by key."""


def birds(count: int, seed: int) -> Labelled:
    """Photographs of noise; red ones of class 0 and blue ones of class 1."""
    found: Labelled = {}
    for index in range(count):
        random, label = np.random.default_rng((seed, index)), index % len(CLASSES)
        pixels = random.integers(0, 120, (40 + index % 5, 48, 3), np.uint8)
        pixels[..., 2 * label] += 130
        found[f"{CLASSES[label]}/{seed}_{index:02d}.jpg"] = jpeg_of(Image.fromarray(pixels)).tobytes(), label
    return found


class PhotographJob(Job):
    """A folder that stands in for /opt/ml, with channels of photographs in one input mode, each a few batches."""

    def __init__(self, base: Path, mode: str = FILE, **hyperparameters: str) -> None:
        super().__init__(base, mode)
        self.photographs = {"train": birds(TRAIN, 1), "validation": birds(VALIDATION, 2)}
        self.files: dict[str, Mapping[str, bytes]] = {}
        """Channels of anything else, in File mode: contents by name."""
        self.hyperparameters = {
            "dataset": "cub200", "classes": "2", "image_size": "32", "epochs": "2", "batch_size": str(BATCH),
            "shuffle_window": "10", **hyperparameters,
        }  # fmt: skip

    def environment(self) -> JobEnvironment:
        """Writes the folder; in Pipe mode `fed` does the rest."""
        paths = self.paths
        for folder in (paths.config, paths.data, paths.model, paths.output_data, paths.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        paths.hyperparameters.write_text(json.dumps(self.hyperparameters))
        modes = {**dict.fromkeys(self.photographs, self.mode), **dict.fromkeys(self.files, FILE)}
        paths.input_data_config.write_text(
            json.dumps({name: {"TrainingInputMode": mode} for name, mode in modes.items()})
        )
        self.content = {name: [_stream(labelled)] for name, labelled in self.photographs.items()}
        written = {**self.files, **({} if self.mode == PIPE else {n: _folder(x) for n, x in self.photographs.items()})}
        for name, files in written.items():
            for file, content in files.items():
                path = paths.channel(name) / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return environment.read({"SAGEMAKER_BASE_DIR": str(paths.base)})


def _folder(labelled: Labelled) -> dict[str, bytes]:
    lines = [json.dumps({"key": key, "label": label}) for key, (_, label) in labelled.items()]
    return {INDEX: "\n".join(lines).encode(), **{key: content for key, (content, _) in labelled.items()}}


def _stream(labelled: Labelled) -> bytes:
    """As the platform streams the augmented manifest of the folder."""
    file = io.BytesIO()
    for key, (content, label) in labelled.items():
        for payload in (content, b"%d" % label, key.encode()):
            recordio.write(file, payload)
    return file.getvalue()
