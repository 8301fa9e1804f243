"""What old scripts do, line by line, and what the document says to write instead; run under either Keras.

[TF_USE_LEGACY_KERAS=1] python -m tests.unit.keras_job.old_scripts FOLDER

Prints JSON: of every error that the document's table quotes, what the old line said, and what the edited one did.
"""

import contextlib
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

keras = tf.keras
LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
FOLDER = sys.argv[1] if len(sys.argv) > 1 else ""
PIXELS, LABELS = np.zeros((10, 4), np.float32), np.zeros(10)
WORKSHOP_METRIC = r"loss: ([0-9\.]+) - accuracy: [0-9\.]+"


def model() -> Any:
    made = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    made.build((None, 4))
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def batches() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).batch(4)


def endless() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        yield PIXELS, LABELS


def a_saved_model() -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        model().export(f"{FOLDER}/exported")
    return f"{FOLDER}/exported"


def fit_until_metrics_are_sought() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as log:
        model().fit(batches(), verbose=2, shuffle=False)
    if not re.search(WORKSHOP_METRIC, log.getvalue()):
        raise ValueError("no metric is found")


Line = Callable[[], Any]
LINES: dict[str, tuple[Line, Line | None]] = {
    "Invalid filepath extension for saving": (lambda: model().save(f"{FOLDER}/1"), a_saved_model),
    "File format not supported": (
        lambda: keras.models.load_model(a_saved_model()),
        lambda: keras.layers.TFSMLayer(a_saved_model(), call_endpoint="serve"),
    ),
    "Argument(s) not recognized: {'lr': ...}": (
        lambda: keras.optimizers.Adam(lr=0.1),
        lambda: keras.optimizers.Adam(learning_rate=0.1),
    ),
    "decay is deprecated in the new TF-Keras optimizer": (
        lambda: keras.optimizers.Adam(0.1, decay=1e-6),
        lambda: keras.optimizers.legacy.Adam(0.1, decay=1e-6),
    ),
    "The filename must end in .weights.h5": (
        lambda: model().save_weights(f"{FOLDER}/weights"),
        lambda: model().save_weights(f"{FOLDER}/x.weights.h5"),
    ),
    "The filepath provided must end in .keras": (
        lambda: keras.callbacks.ModelCheckpoint(f"{FOLDER}/checkpoint"),
        lambda: keras.callbacks.ModelCheckpoint(f"{FOLDER}/c.weights.h5", save_weights_only=True),
    ),
    "'Sequential' object has no attribute 'fit_generator'": (
        lambda: model().fit_generator(endless(), steps_per_epoch=1, verbose=0),
        lambda: model().fit(endless(), steps_per_epoch=1, verbose=0, shuffle=False),
    ),
    "'Sequential' object has no attribute 'predict_classes'": (
        lambda: model().predict_classes(PIXELS),
        lambda: model().predict(PIXELS, verbose=0).argmax(-1),
    ),
    "no metric is found": (fit_until_metrics_are_sought, None),
    "setting an array element with a sequence": (
        lambda: np.array(list(batches().as_numpy_iterator())),
        lambda: np.array(list(batches().as_numpy_iterator()), dtype=object),
    ),
    "module 'tensorflow' has no attribute 'estimator'": (lambda: tf.estimator, None),
    "module 'tensorflow' has no attribute 'Session'": (lambda: tf.Session, lambda: tf.compat.v1.Session),
    "'contrib'": (lambda: tf.contrib, None),
    "'decode_raw'": (lambda: tf.decode_raw, lambda: tf.io.decode_raw),
    "'parse_single_example'": (lambda: tf.parse_single_example, lambda: tf.io.parse_single_example),
    "no attribute 'make_one_shot_iterator'": (lambda: batches().make_one_shot_iterator(), lambda: iter(batches())),
    "no attribute 'set_session'": (lambda: keras.backend.set_session(None), None),
    "'experimental'": (
        lambda: keras.mixed_precision.experimental,
        lambda: keras.mixed_precision.set_global_policy,
    ),
    "'multi_gpu_model'": (lambda: keras.utils.multi_gpu_model, lambda: tf.distribute.MirroredStrategy),
    "Your input ran out of data": (
        lambda: model().fit(batches(), epochs=2, steps_per_epoch=5, verbose=0, shuffle=False),
        lambda: model().fit(batches().repeat(), epochs=2, steps_per_epoch=5, verbose=0, shuffle=False),
    ),
}
"""By what the table quotes: the old line, and, where the table has one, the edited."""


def said(line: Line) -> str:
    """Its error and its warnings."""
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    tf.get_logger().addHandler(handler)
    error = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            line()
        except Exception as caught:  # noqa: BLE001 - which error it is, is what is asked
            error = str(caught)
    tf.get_logger().removeHandler(handler)
    return "\n".join([error, logged.getvalue(), *(str(warning.message) for warning in warned)])


def main() -> None:
    """Print what was said."""
    Path(FOLDER).mkdir(exist_ok=True)
    print(json.dumps({text: [said(old), said(new) if new else None] for text, (old, new) in LINES.items()}))


if __name__ == "__main__":
    main()
