"""SIGTERM itself, at moments that a test chooses: the job leaves a checkpoint, and goes on as if never stopped."""

import itertools
import threading

import keras
import numpy as np
import pytest
from keras_job import models, saving, train_cifar10
from keras_job.training import Trainer
from trainjob import cifar10, dataset
from trainjob.contract import PIPE
from trainjob.stop import Stop
from trainjob.training import checkpoint, record

from tests.stops import listening, terminate

pytestmark = pytest.mark.timeout(180)

SETTINGS = {"crop_padding": "2", "checkpoint_steps": "4", "shuffle_window": "0"}
BATCHES = 3
"""Of 32 records, that a stalled channel has brought."""


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """A small network, and neither drawings nor a SavedModel: all of them take longer than the training here."""

    def network(images, classes):
        hidden = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=4)(images))
        return keras.layers.Dense(classes)(keras.layers.Flatten()(keras.layers.Dropout(0.3)(hidden)))

    monkeypatch.setattr(models, "_workshop", network)
    monkeypatch.setattr(record, "save_history", lambda *arguments: None)
    monkeypatch.setattr(saving, "export", lambda *arguments: None)


@pytest.fixture
def stop():
    """The flag of a program that listens to signals."""
    with listening() as flag:
        yield flag


def state(job, stop) -> dict[str, np.ndarray]:
    with job.fed() as env:
        train_cifar10.main(env, stop)
    with np.load(checkpoint.newest(job.paths.checkpoints).path) as archive:
        return {name: archive[name] for name in archive.files if name != "progress"}


def check_goes_on(job, make_job) -> None:
    """The job, gone on with, ends with the state of one that was never stopped."""
    assert not (job.paths.model / "model.keras").exists(), "it was not stopped"
    found, expected = state(job, Stop()), state(make_job("whole", **SETTINGS), Stop())
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_signal_before_the_first_step_leaves_a_checkpoint_of_none(make_job, monkeypatch, stop):
    resume = saving.resume

    def stopped(*arguments):
        terminate()
        return resume(*arguments)

    job = make_job("stopped", **SETTINGS)
    with monkeypatch.context() as patched, job.fed() as env:
        patched.setattr(saving, "resume", stopped)
        train_cifar10.main(env, stop)

    assert checkpoint.newest(job.paths.checkpoints).step == 0
    check_goes_on(job, make_job)


def test_signal_while_the_job_waits_for_data_leaves_a_checkpoint_of_all_it_had(make_job, monkeypatch, stop):
    monkeypatch.setattr(dataset, "BLOCK_BYTES", BATCHES * 32 * cifar10.RECORD_BYTES)  # what is read at a time
    job = make_job("stalled", PIPE, **SETTINGS)
    content = b"".join(job.content["train"])[: BATCHES * 32 * cifar10.RECORD_BYTES]
    advance, taken = Trainer._advance, itertools.count(1)

    def counted(*arguments):
        if next(taken) == BATCHES + 1:
            threading.Timer(1, terminate).start()  # by then it waits
        return advance(*arguments)

    with monkeypatch.context() as patched, job.stalled(train=content) as env:
        patched.setattr(Trainer, "_advance", counted)
        train_cifar10.main(env, stop)

    assert checkpoint.newest(job.paths.checkpoints).step == BATCHES
    resumed = make_job("resumed", **SETTINGS)
    resumed.paths.base.mkdir()
    job.paths.checkpoints.rename(resumed.paths.checkpoints)
    check_goes_on(resumed, make_job)


def test_signal_while_a_checkpoint_is_written_leaves_it_whole_and_a_newer_one(make_job, monkeypatch, stop):
    savez = np.savez

    def slow(file, **arrays):
        if not stop.requested:
            terminate()
            while not stop.requested:
                pass
        savez(file, **arrays)

    job = make_job("stopped", **SETTINGS)
    with monkeypatch.context() as patched, job.fed() as env:
        patched.setattr(np, "savez", slow)
        train_cifar10.main(env, stop)

    steps = sorted(int(path.stem[-8:]) for path in job.paths.checkpoints.glob("*.json"))
    assert steps[0] == 4
    assert checkpoint.newest(job.paths.checkpoints).step == steps[-1] > 3
    check_goes_on(job, make_job)
