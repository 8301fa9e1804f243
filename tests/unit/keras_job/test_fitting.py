"""The callback that makes a job of a script's own `fit`."""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_job import fitting, inputs
from sagemaker_tensorflow import PipeModeDataset
from trainjob import channel, cifar10, metrics
from trainjob.contract import PIPE
from trainjob.stop import Stop
from trainjob.training import checkpoint

from tests.small_job import records

pytestmark = pytest.mark.timeout(120)

RANDOM = np.random.default_rng(0)
IMAGES, LABELS = RANDOM.random((96, 8)).astype("float32"), RANDOM.integers(0, 3, 96)


def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    made = keras.Sequential([*layers, keras.layers.Softmax()])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def fit(env, epochs: int, stop: Stop | None = None, *extra: keras.callbacks.Callback) -> keras.Model:
    made = model()
    job = fitting.JobCallback(made, env, stop or Stop())
    made.fit(
        IMAGES, LABELS, 16, epochs, verbose=0, shuffle=False, initial_epoch=job.epoch,
        validation_data=(IMAGES, LABELS), callbacks=[job, *extra],
    )  # fmt: skip
    return made


def same(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, other.weights, strict=True))


def test_metrics_lines_are_those_that_the_definitions_find(make_job, capsys):
    with make_job().fed() as env:
        fit(env, 2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch=")]
    assert [line.split()[0] for line in lines] == ["epoch=1", "epoch=2"]
    assert all(f"{name}=" in line for line in lines for name in metrics.NAMES)


def test_fit_that_goes_on_from_a_checkpoint_ends_with_the_same_weights(make_job):
    with make_job("whole").fed() as env:
        whole = fit(env, 3)
    with make_job("parts").fed() as env:
        fit(env, 1)
        assert checkpoint.newest(env.paths.checkpoints).step == 6
        assert same(fit(env, 3), whole)


def test_stop_ends_the_fit_between_two_batches_and_leaves_a_checkpoint(make_job):
    stop, seen = Stop(), []

    class StopInSecondEpoch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)
            if len(seen) == 8:
                stop.request()

    with make_job().fed() as env:
        fit(env, 5, stop, StopInSecondEpoch())
        newest = checkpoint.newest(env.paths.checkpoints)
        assert (len(seen), newest.step, newest.progress["epoch"]) == (8, 8, 1)
        again = model()
        assert fitting.JobCallback(again, env, Stop()).epoch == 1


DOCUMENT = Path(__file__).parents[3] / "docs" / "keras_scripts.md"
MODEL = """
import keras
keras.utils.set_random_seed(1)
hidden = keras.layers.Flatten()(pixels := keras.Input((32, 32, 3)))
model = keras.Model(pixels, keras.layers.Dense(10, activation="softmax")(hidden))
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
say = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: print(f"batch {batch}", flush=True))
"""


def documented_script(**changes: str) -> str:
    """The script for new jobs as the document has it, with a model, and with what the test changes in it."""
    block = re.search(r"## New scripts\n\n((?:(?: {4}.*)?\n)+)", DOCUMENT.read_text())
    script = MODEL + textwrap.dedent(block[1])
    for old, new in {"callbacks=[job]": "callbacks=[job, say]", **changes}.items():
        assert old in script
        script = script.replace(old, new)
    return script


@contextmanager
def running(script: str, base: Path) -> Iterator[tuple[subprocess.Popen, "queue.Queue[str]"]]:
    """A process of that script, and the lines that it writes, as they come."""
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "SAGEMAKER_BASE_DIR": str(base),
    }  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True)
        reader.start()
        try:
            yield process, lines
        finally:
            process.kill()
            reader.join(10)


def wait_for(lines: "queue.Queue[str]", text: str) -> None:
    seen = []
    while not seen or text not in seen[-1]:
        try:
            seen.append(lines.get(timeout=60))
        except queue.Empty:
            pytest.fail(f"'{text}' did not come after {''.join(seen)}")


def test_documented_script_that_waits_for_data_ends_well_when_asked(make_job):
    job = make_job(mode=PIPE)
    # 4 MiB cross at a time, which are 10 batches of 128.
    with (
        job.stalled(train=records(1_400, 1)),
        running(documented_script(**{"window=10_000": "window=0"}), job.paths.base) as (process, lines),
    ):
        wait_for(lines, "batch 9")
        time.sleep(0.5)  # into the wait for the eleventh, where no handler in Python runs
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert process.wait(60) == 0, [lines.get() for _ in range(lines.qsize())]
        assert time.monotonic() - asked < 5
    newest = checkpoint.newest(job.paths.checkpoints)
    assert (newest.step, newest.progress["epoch"]) == (10, 0)
    assert not (job.paths.model / "model.keras").exists()


def picture_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = keras.layers.Flatten()(pixels := keras.Input((32, 32, 3)))
    made = keras.Model(pixels, keras.layers.Dense(10, activation="softmax")(hidden))
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def epochs_of(env, name: str, stop: Stop, steps: int | None = None, **settings) -> inputs.Epochs:
    return inputs.Epochs(inputs.cifar10_dataset(channel.find(env, name, stop), 32, **settings), steps)


def test_resumed_fit_reads_in_the_order_of_the_epoch_it_resumes_at(make_job):
    def fit_stream(job, epochs: int) -> keras.Model:
        with job.fed() as env:
            train, made = epochs_of(env, "train", Stop(), 9, window=100, seed=3), picture_model()
            callback = fitting.JobCallback(made, env, Stop(), train)
            made.fit(
                train.batches(), epochs=epochs, initial_epoch=callback.epoch, verbose=0, shuffle=False,
                callbacks=[callback],
            )  # fmt: skip
            train.close()
        return made

    whole = fit_stream(make_job("whole", PIPE), 3)
    fit_stream(stopped := make_job("stopped", PIPE), 1)
    resumed = make_job("resumed", PIPE)  # a new container: its FIFOs begin at 0 again
    shutil.copytree(stopped.paths.checkpoints, resumed.paths.checkpoints)
    assert same(fit_stream(resumed, 3), whole)


def test_stop_while_the_validation_waits_for_data_leaves_a_checkpoint(make_job):
    job, stop, made = make_job(mode=PIPE), Stop(), picture_model()
    asking = keras.callbacks.LambdaCallback(on_test_begin=lambda logs: stop.request())
    with job.stalled(train=b"", validation=b"") as env:
        with fitting.JobCallback(made, env, stop) as callback:
            made.fit(
                tf.data.Dataset.from_tensors((np.zeros((4, 32, 32, 3), np.uint8), np.zeros(4))),
                validation_data=epochs_of(env, "validation", stop).batches(),
                verbose=0, shuffle=False, callbacks=[callback, asking],
            )  # fmt: skip
        newest = checkpoint.newest(env.paths.checkpoints)
        assert (callback.stopped, newest.step, newest.progress["epoch"]) == (True, 1, 0)


def test_stop_while_a_pipe_mode_dataset_waits_for_data_leaves_a_checkpoint(make_job, monkeypatch):
    job, stop, made = make_job(mode=PIPE), Stop(), model()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job.paths.base))
    with job.stalled(train=b"a line\n") as env:
        lines = PipeModeDataset("train", "TextLine", stop=stop)
        asking = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: stop.request())
        with fitting.JobCallback(made, env, stop) as callback:
            made.fit(
                lines.map(lambda line: (tf.zeros((1, 8)), tf.zeros(1))).batch(2).unbatch(),
                verbose=0, shuffle=False, callbacks=[callback, asking],
            )  # fmt: skip
        assert checkpoint.newest(env.paths.checkpoints).step == 0


def test_bad_record_is_still_an_error_though_the_job_is_to_stop(make_job):
    job, stop, made = make_job(mode=PIPE), Stop(), picture_model()
    spoilt = bytearray(records(150, 1))
    spoilt[5 * cifar10.RECORD_BYTES] = 200
    job.content["train"] = [bytes(spoilt)]
    asking = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: stop.request())
    with (
        job.fed() as env,
        pytest.raises(tf.errors.OpError, match="Record 5 has label 200"),
        fitting.JobCallback(made, env, stop) as callback,
    ):
        made.fit(epochs_of(env, "train", stop).batches(), verbose=0, shuffle=False, callbacks=[callback, asking])
    assert checkpoint.newest(env.paths.checkpoints) is None
